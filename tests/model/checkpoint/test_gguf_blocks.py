"""ggml's blocks against the dequantiser of the gguf package: the same bits, for any bytes."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize, quantize

from gguf_bytes import HALVES
from hnlpu.model.checkpoint.gguf import BLOCKS

Type = gguf.GGMLQuantizationType


@pytest.mark.parametrize("number", BLOCKS)
@pytest.mark.parametrize("seed", range(2))
def test_any_bytes_are_the_numbers_of_the_gguf_package(number: int, seed: int) -> None:
    blocks = BLOCKS[number]
    assert Type(number).name == blocks.name
    assert gguf.GGML_QUANT_SIZES[Type(number)] == (blocks.size, blocks.bytes)
    count = 256 if blocks.size > 1 else 4096
    raw = np.random.default_rng(seed).integers(0, 256, (count, blocks.bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):  # any bytes: scales of NaN and infinity among them
        theirs = np.asarray(dequantize(raw, Type(number)), np.float32).reshape(count, -1)
        ours = blocks.decode(raw)
    assert ours.dtype == np.float32
    assert ours.shape == (count, blocks.size)
    both_nan = np.isnan(ours) & np.isnan(theirs)
    assert ((ours.view(np.uint32) == theirs.view(np.uint32)) | both_nan).all()
    assert not both_nan.all()


QUANTISED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4"]


@pytest.mark.parametrize("kind", QUANTISED)
def test_what_the_gguf_package_quantises_comes_back(kind: str) -> None:
    values = np.random.default_rng(1).normal(0, 1, (16, 512)).astype(np.float32)
    raw = quantize(values, Type[kind])
    blocks = BLOCKS[Type[kind].value]
    ours = blocks.decode(raw.reshape(-1, blocks.bytes)).reshape(values.shape)
    np.testing.assert_array_equal(ours, dequantize(raw, Type[kind]))
    assert np.corrcoef(ours.ravel(), values.ravel())[0, 1] > 0.6


def test_every_format_with_blocks_is_among_the_samples() -> None:
    assert set(HALVES) == {b.name for b in BLOCKS.values() if b.size > 1}
