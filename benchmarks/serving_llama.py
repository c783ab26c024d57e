"""llama.cpp's server of the wheel xllamacpp, for serving.py: says where it listens, then waits for its end.

serving_llama.py MODEL.gguf THREADS STREAMS POSITIONS
"""

import sys

import xllamacpp


def main():
    """Serve on a free port until the standard input ends."""
    model, threads, streams, positions = sys.argv[1], *map(int, sys.argv[2:])
    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.n_parallel, settings.n_ctx = streams, streams * positions
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.port, settings.verbosity = 0, -1
    server = xllamacpp.Server(settings)
    print(server.listening_address.rsplit(":", 1)[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
