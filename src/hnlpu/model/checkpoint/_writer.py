"""Writing a safetensors file a piece at a time.

The library's writer wants all tensors in memory at once; here the header is
written first (shapes are known before data) and every piece goes to its place
with one `pwrite`, so memory does not grow with the file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1}


def layout_bytes(layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> int:
    """Bytes of the tensors of a layout, without the header."""
    return sum(math.prod(shape) * _ITEM_BYTES[dtype] for dtype, shape in layout.values())


class SafetensorsWriter:
    """Context manager over a new file at `path`; `layout` is name -> (dtype, shape).

    Tensors lie in the file by falling alignment (BF16 before U8, say), then in the
    order of `layout`.  Raises OSError as the operating system does.
    """

    def __init__(self, path: Path, layout: Mapping[str, tuple[str, tuple[int, ...]]]):
        offset = 0
        header: dict[str, Any] = {}
        for name, (dtype, shape) in sorted(
            layout.items(), key=lambda item: -_ITEM_BYTES[item[1][0]]
        ):
            size = math.prod(shape) * _ITEM_BYTES[dtype]
            header[name] = {
                "dtype": dtype,
                "shape": list(shape),
                "data_offsets": [offset, offset + size],
            }
            offset += size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._header = header
        self._start = 8 + len(text)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            self._pwrite(len(text).to_bytes(8, "little") + text, 0)
            os.ftruncate(self._file, self._start + offset)
        except OSError:
            os.close(self._file)
            raise

    def put(self, name: str, data: npt.NDArray[Any], first: int = 0) -> None:
        """Write `data` into tensor `name`, from its element number `first` on."""
        info = self._header[name]
        begin, end = info["data_offsets"]
        raw = np.ascontiguousarray(data)
        offset = begin + first * _ITEM_BYTES[info["dtype"]]
        if raw.itemsize != _ITEM_BYTES[info["dtype"]] or offset + raw.nbytes > end:
            raise ValueError(f"{name}: {raw.nbytes} bytes of {raw.dtype} at {first} do not fit")
        self._pwrite(raw.reshape(-1).view(np.uint8).data, self._start + offset)

    def _pwrite(self, data: bytes | memoryview, offset: int) -> None:
        view = memoryview(data)
        while len(view):
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written

    def __enter__(self) -> SafetensorsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)
