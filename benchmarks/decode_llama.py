"""llama.cpp as a worker of decode.py: commands in, times out.

prefill N | decode N | logits N ──► one line of JSON each

    decode_llama.py xllamacpp|llama_cpp MODEL THREADS

The package only brings the library, whose C interface is called here (llama.h of llama.cpp), so that
different packages are asked in the same way.  Parameters are structures that grow with llama.cpp's
versions: the library fills them, and of the context's only the first three numbers are changed, which
is checked afterwards.
"""

import ctypes
import importlib.util
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

POSITIONS, BATCH, TOGETHER = 4096, 2048, 512  # n_ctx, n_batch, n_ubatch; the last two are defaults
LIBRARIES = {"xllamacpp": "xllamacpp*.so", "llama_cpp": "lib/libllama.so"}


class Parameters(ctypes.Structure):
    """Parameters of any version: more room than any takes."""

    _fields_ = (("numbers", ctypes.c_uint32 * 512),)


class Batch(ctypes.Structure):
    """llama_batch."""

    _fields_ = (("tokens", ctypes.c_int32), ("arrays", ctypes.c_void_p * 6))


def load(package):
    """The library of a package, with the types of what is called."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"{package}: not installed")
    (path,) = Path(spec.origin).parent.glob(LIBRARIES[package])
    library = ctypes.CDLL(str(path))
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    for name, result, arguments in (
        ("llama_model_default_params", Parameters, []),
        ("llama_context_default_params", Parameters, []),
        ("llama_model_load_from_file", pointer, [ctypes.c_char_p, Parameters]),
        ("llama_init_from_model", pointer, [pointer, Parameters]),
        ("llama_set_n_threads", None, [pointer, number, number]),
        ("llama_n_ctx", ctypes.c_uint32, [pointer]),
        ("llama_n_batch", ctypes.c_uint32, [pointer]),
        ("llama_n_ubatch", ctypes.c_uint32, [pointer]),
        ("llama_model_get_vocab", pointer, [pointer]),
        ("llama_vocab_n_tokens", number, [pointer]),
        ("llama_batch_get_one", Batch, [pointer, number]),
        ("llama_decode", number, [pointer, Batch]),
        ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), [pointer, number]),
        ("llama_get_memory", pointer, [pointer]),
        ("llama_memory_clear", None, [pointer, ctypes.c_bool]),
        ("llama_print_system_info", ctypes.c_char_p, []),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


QUIET = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)


def peak_mb():
    """MB of this process at its peak; getrusage may tell of the process that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    parts = status.read_text().split()
    return int(parts[parts.index("VmHWM:") + 1]) / 1024


class Worker:
    """One model and one sequence."""

    def __init__(self, package, path, threads):
        self.library = llama = load(package)
        llama.llama_log_set(QUIET, None)
        llama.llama_backend_init()
        self.model = llama.llama_model_load_from_file(
            path.encode(), llama.llama_model_default_params()
        )
        if not self.model:
            sys.exit(f"{path}: llama.cpp does not load it")
        options = llama.llama_context_default_params()
        options.numbers[:3] = POSITIONS, BATCH, TOGETHER
        self.context = llama.llama_init_from_model(self.model, options)
        found = [
            getattr(llama, f"llama_n_{what}")(self.context) for what in ("ctx", "batch", "ubatch")
        ]
        if found != [POSITIONS, BATCH, TOGETHER]:
            sys.exit(f"{package}: its parameters lie elsewhere: {found}")
        llama.llama_set_n_threads(self.context, threads, threads)
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.random = np.random.default_rng(0)

    def feed(self, tokens):
        """Run tokens through the model; logits of the last one."""
        numbers = np.ascontiguousarray(tokens, np.int32)
        batch = self.library.llama_batch_get_one(numbers.ctypes.data, len(numbers))
        code = self.library.llama_decode(self.context, batch)
        if code:
            sys.exit(f"llama_decode returned {code}")
        logits = self.library.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(logits, shape=(self.vocabulary,))

    def clear(self):
        """Forget the sequence."""
        self.library.llama_memory_clear(self.library.llama_get_memory(self.context), True)

    def do(self, command, count):
        """One command."""
        if command == "logits":
            self.clear()
            tokens = np.random.default_rng(1).integers(3, self.vocabulary, count)
            built = self.library.llama_print_system_info().decode()
            return {"logits": self.feed(tokens).tolist(), "built": built}
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
            "peak_mb": peak_mb(),
        }


def main():
    """Serve commands until the input ends."""
    worker = Worker(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    for line in sys.stdin:
        command, count = line.split()
        print(json.dumps(worker.do(command, int(count))), flush=True)


if __name__ == "__main__":
    main()
