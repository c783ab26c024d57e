"""What llama.cpp says after some tokens: `python llama_cpp_says.py TOKENS FILE ...`, in a process of its own.

Writes a JSON object: for each file a list of [token, log-probability] of the next token.
"""

from __future__ import annotations

import json
import sys

import xllamacpp


def next_token(path: str, tokens: list[int], count: int = 1000) -> list[tuple[int, float]]:
    """Log-probabilities of the token after `tokens`, of at most `count` tokens."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx, parameters.n_gpu_layers, parameters.warmup = 64, 0, False
    parameters.cpuparams.n_threads = 1
    parameters.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    asked = {
        "prompt": tokens, "n_predict": 1, "n_probs": count, "temperature": 0.0,
        "cache_prompt": False,
    }  # fmt: skip
    answer = xllamacpp.Server(parameters).handle_completions(asked)
    answer = json.loads(answer) if isinstance(answer, str) else answer
    found = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return [(entry["id"], entry["logprob"]) for entry in found]


if __name__ == "__main__":
    TOKENS = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps({path: next_token(path, TOKENS) for path in sys.argv[2:]}) + "\n")
