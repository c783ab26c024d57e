"""Bits per byte on the held-out modules: the model beside compressors.

    python training/evaluate.py checkpoints/stdlib-8m

Prints a JSON object.  Compressors see the same bytes: the held-out modules
joined, alone and (`primed`) after the whole training text, which is the fair
match for a model that has read it.  The order-4 model is adaptive: it predicts
each byte from the four before it, blending all shorter orders.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import time
from collections import defaultdict
from pathlib import Path

import zstandard

import corpus
import hnlpu

ORDER = 4


def order_model_bits(history: bytes, text: bytes, order: int = ORDER) -> float:
    """Bits that an adaptive byte model of this order spends on `text` after `history`.

    Each order's counts are blended with the next shorter order's prediction
    by Witten-Bell smoothing; the shortest is uniform over 256 bytes.
    """
    counts: list[dict[bytes, dict[int, int]]] = [defaultdict(dict) for _ in range(order + 1)]
    totals: list[dict[bytes, int]] = [defaultdict(int) for _ in range(order + 1)]
    data = history + text
    bits = 0.0
    for i, byte in enumerate(data):
        contexts = [data[max(0, i - n) : i] for n in range(order + 1)]
        if i >= len(history):
            p = 1 / 256
            for n, context in enumerate(contexts):
                seen = counts[n].get(context)
                if seen:
                    kinds = len(seen)
                    p = (seen.get(byte, 0) + kinds * p) / (totals[n][context] + kinds)
            bits -= math.log2(p)
        for n, context in enumerate(contexts):
            seen = counts[n][context]
            seen[byte] = seen.get(byte, 0) + 1
            totals[n][context] += 1
    return bits


def compressed_bits(history: bytes, text: bytes, compress: object) -> float:
    """Bits that a compressor adds for `text` when it has just seen `history`."""
    assert callable(compress)
    return 8.0 * (len(compress(history + text)) - (len(compress(history)) if history else 0))


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=9)


def zstd(data: bytes) -> bytes:
    # a window that reaches over the whole training text, as a long-range match needs
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=25)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def share_seen(history: bytes, text: bytes) -> float:
    """Share of the bytes of `text` in lines of 40 characters or more that `history` holds too.

    What a model could have learnt by heart: held-out modules share licences,
    idioms and now and then a function with others.
    """
    seen = {line.strip() for line in history.split(b"\n")}
    lines = [line for line in text.split(b"\n") if len(line.strip()) >= 40]
    repeated = sum(len(line) for line in lines if line.strip() in seen)
    return repeated / max(1, sum(len(line) for line in lines))


def model_bits(checkpoint: Path, documents: list[corpus.Document]) -> tuple[float, float]:
    """Bits of the model in float32 over all documents, each after an end-of-text; and seconds."""
    model = hnlpu.open(checkpoint)
    began = time.monotonic()
    bits = 0.0
    for document in documents:
        tokens = [0, *model.encode(document.text).tolist()]
        bits -= sum(model.score(tokens).logprobs) / math.log(2)
    return bits, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="Bits per byte beside compressors.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    args = parser.parse_args()
    documents = corpus.held_out_documents()
    text = "".join(d.text for d in documents).encode()
    history = "".join(d.text for d in corpus.training_documents()).encode()
    bits, seconds = model_bits(args.checkpoint, documents)
    results = {
        "held_out_bytes": len(text),
        "held_out_sha256": corpus.digest(documents),
        "long_lines_seen_in_training": share_seen(history, text),
        "model": bits / len(text),
        "model_seconds": round(seconds, 1),
        "xz -9": compressed_bits(b"", text, xz) / len(text),
        "zstd -19": compressed_bits(b"", text, zstd) / len(text),
        "order-4 bytes": order_model_bits(b"", text) / len(text),
        "xz -9, primed": compressed_bits(history, text, xz) / len(text),
        "zstd -19, primed": compressed_bits(history, text, zstd) / len(text),
        "order-4 bytes, primed": order_model_bits(history, text) / len(text),
    }
    text_out = json.dumps(results, indent=1) + "\n"
    print(text_out, end="")
    if args.out:
        args.out.write_text(text_out)


if __name__ == "__main__":
    main()
