"""BitNet's ternary weights, four rows a byte, under one scale: NAME [rows / 4, columns].

    NAME, NAME_scale ─► NAME, times or over its scale; or both as they are, where a network scales

Bits 2 k and 2 k + 1 of a byte in row r hold row r + k * rows / 4, plus one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint._tensors import StoredTensor
from hnlpu.model.checkpoint.packed._decoded import (
    Decoded,
    Files,
    Float32,
    expect,
    expect_matrix,
    matrix,
    setting,
    whole,
)


def bitnet(stored: Files, config: Mapping[str, Any], wanted: Container[str]) -> dict[str, Stored]:
    """Take BitNet's packed layers out of `stored`; raises TensorMismatch.

    Layers of the class `bitlinear` divide by their scale, those of `autobitlinear` multiply by it.
    A scale that is `wanted` is one that the network applies itself: it stays, beside -1, 0 and 1.
    """
    kind = setting(config, "linear_class", "bitlinear", ("bitlinear", "autobitlinear"))
    setting(config, "quantization_mode", "offline", ("offline",))  # online: made ternary at load
    setting(config, "use_rms_norm", False, (False,))  # true: inputs are normed once more
    found: dict[str, Stored] = {}
    for name in [n for n in sorted(stored) if n.endswith(".weight") and stored[n].dtype == "U8"]:
        own = f"{name}_scale" in wanted
        scale = None if own else stored.pop(f"{name}_scale", None)
        packed = stored.pop(name)
        expect_matrix(packed)
        factor = np.float32(1)
        if scale is not None:
            expect(scale, (1,), name)
            factor = np.float32(whole(scale)[0])
        found[name] = _ternary(name, packed, factor, divide=kind == "bitlinear")
    return found


def _ternary(name: str, packed: StoredTensor, factor: np.float32, *, divide: bool) -> Decoded:
    quarter, columns = packed.shape

    def decode(asked: slice) -> Float32:
        rows = np.arange(asked.start, asked.stop)
        lines = rows % quarter
        low, high = int(lines.min(initial=0)), int(lines.max(initial=0)) + 1
        raw = packed.read((slice(low, high, 1), slice(0, columns, 1)))[lines - low]
        fields = (raw >> (2 * (rows // quarter)).astype(np.uint8)[:, None]) & np.uint8(3)
        values = fields.astype(np.float32) - 1
        return np.asarray(values / factor if divide else values * factor, np.float32)

    return matrix(name, (4 * quarter, columns), packed.file, decode)
