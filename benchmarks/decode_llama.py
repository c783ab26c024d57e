"""llama.cpp as a worker of decode.py, in an environment of its own: commands in, times out.

prefill N | decode N | logits ──► one line of JSON each
"""

import ctypes
import json
import resource
import sys
import time

import llama_cpp as llama
import numpy as np


@llama.llama_log_callback
def quiet(level, text, user_data):
    """llama.cpp talks much; decode.py reads what we print."""


class Worker:
    """One model and one sequence."""

    def __init__(self, path, threads):
        llama.llama_log_set(quiet, ctypes.c_void_p(0))
        llama.llama_backend_init()
        options = llama.llama_model_default_params()
        options.n_gpu_layers = 0
        self.model = llama.llama_model_load_from_file(path.encode(), options)
        if not self.model:
            sys.exit(f"{path}: llama.cpp does not load it")
        options = llama.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = 1024, 512, 512
        options.n_threads = options.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, options)
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.random = np.random.default_rng(0)
        self.position = 0

    def feed(self, tokens):
        """Run tokens through the model; logits of the last one."""
        batch = llama.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = int(token), self.position + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = i == len(tokens) - 1
        code = llama.llama_decode(self.context, batch)
        llama.llama_batch_free(batch)
        if code:
            sys.exit(f"llama_decode returned {code}")
        self.position += len(tokens)
        logits = llama.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(logits, shape=(self.vocabulary,))

    def clear(self):
        """Forget the sequence."""
        llama.llama_memory_clear(llama.llama_get_memory(self.context), True)
        self.position = 0

    def do(self, command, count):
        """One command."""
        if command == "logits":
            self.clear()
            tokens = np.random.default_rng(1).integers(3, self.vocabulary, count)
            return {"logits": self.feed(tokens).tolist()}
        tokens = self.random.integers(3, self.vocabulary, count)
        if command == "prefill":
            self.clear()
        began, cpu = time.perf_counter(), time.process_time()
        if command == "prefill":
            self.feed(tokens)
        else:
            for token in tokens:
                self.feed([token])
        return {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def main():
    """Serve commands until the input ends."""
    worker = Worker(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        command, count = line.split()
        print(json.dumps(worker.do(command, int(count))), flush=True)


if __name__ == "__main__":
    main()
