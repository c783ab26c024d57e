"""GGUF files -> metadata and tensors: the header is read, the numbers stay where they are.

    "GGUF" version tensors keys | key type value ... | name sizes type offset ... | padding | numbers

A model may be split into files NAME-00001-of-00003.gguf; the first holds the metadata.  The format:
github.com/ggml-org/ggml, docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import math
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedCheckpoint, UnsupportedArchitecture
from hnlpu.model.checkpoint._tensors import mapped
from hnlpu.model.checkpoint.gguf._blocks import BLOCKS, NAMES, Blocks

MAGIC = b"GGUF"
HIGHEST_COUNT = 2**24  # of keys, tensors or entries of an array
STRING, ARRAY, BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", BOOL: "?", 10: "<Q",
            11: "<q", 12: "<d"}  # fmt: skip
_SPLIT = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


@dataclass(frozen=True)
class GgufTensor:
    """A tensor of a file: `shape` as other libraries have it, the last axis contiguous."""

    name: str
    blocks: Blocks
    shape: tuple[int, ...]
    file: Path
    offset: int

    def rows(self) -> npt.NDArray[np.uint8]:
        """Bytes [rows, bytes of a row], mapped; all axes but the last are rows."""
        count = math.prod(self.shape[:-1])
        width = self.shape[-1] // self.blocks.size * self.blocks.bytes
        return mapped(self.file, np.dtype(np.uint8), self.offset, (count, width))


@dataclass(frozen=True)
class Gguf:
    """A model's metadata by key, its tensors by name, and the files that hold them."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, GgufTensor]
    files: tuple[Path, ...]


class _Reader:
    """Values of a header, one after the other; raises DamagedCheckpoint at the file's end."""

    def __init__(self, path: Path, stream: BinaryIO, size: int):
        self.path, self._stream, self._size = path, stream, size

    def damaged(self, what: str) -> DamagedCheckpoint:
        return DamagedCheckpoint(f"{self.path}: not a sound GGUF file ({what})")

    def take(self, size: int) -> bytes:
        if not 0 <= size <= self._size - self._stream.tell():
            raise self.damaged("it ends within its header")
        return self._stream.read(size)

    def number(self, kind: str) -> Any:
        (value,) = struct.unpack(kind, self.take(struct.calcsize(kind)))
        return value

    def count(self) -> int:
        value = int(self.number("<Q"))
        if value > HIGHEST_COUNT:
            raise self.damaged(f"it counts {value} of something")
        return value

    def text(self) -> str:
        return self.take(int(self.number("<Q"))).decode("utf-8", "surrogateescape")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY and depth < 2:
            inner, count = int(self.number("<I")), self.count()
            if inner in _SCALARS:
                form = np.dtype(_SCALARS[inner])
                return np.frombuffer(self.take(count * form.itemsize), form).tolist()
            return [self.value(inner, depth + 1) for _ in range(count)]
        if kind not in _SCALARS:
            raise self.damaged(f"it has a value of the unknown type {kind}")
        return self.number(_SCALARS[kind])

    def tell(self) -> int:
        return self._stream.tell()


def read_gguf(path: Path) -> Gguf:
    """A model in one file, or in the files of a split of which `path` is any.

    Raises DamagedCheckpoint, or UnsupportedArchitecture for a format of numbers that is not read.
    """
    files = _parts(path)
    metadata: dict[str, Any] = {}
    tensors: dict[str, GgufTensor] = {}
    for number, file in enumerate(files):
        keys, found = _read_file(file)
        metadata = keys if number == 0 else metadata
        if keys.get("split.count", len(files)) not in (0, len(files)):
            raise DamagedCheckpoint(
                f"{file}: is of {keys['split.count']} parts; {len(files)} given"
            )
        for name, tensor in found.items():
            if name in tensors:
                raise DamagedCheckpoint(f"{file}: tensor {name} is also in {tensors[name].file}")
            tensors[name] = tensor
    return Gguf(path, metadata, tensors, tuple(files))


def _parts(path: Path) -> list[Path]:
    match = _SPLIT.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match[3])
    names = [f"{match[1]}-{n:05d}-of-{match[3]}.gguf" for n in range(1, min(count, 99999) + 1)]
    for name in names:
        if not (path.parent / name).is_file():
            raise DamagedCheckpoint(f"{path}: the part {name} of the split is missing")
    return [path.parent / name for name in names]


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, GgufTensor]]:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return _read_stream(_Reader(path, stream, size), size)
    except FileNotFoundError:
        raise DamagedCheckpoint(f"{path}: file is missing") from None
    except OSError as error:
        raise DamagedCheckpoint(
            f"{path}: cannot be read ({os.strerror(error.errno or 0)})"
        ) from None


def _read_stream(reader: _Reader, size: int) -> tuple[dict[str, Any], dict[str, GgufTensor]]:
    if reader.take(4) != MAGIC:
        raise reader.damaged("it does not begin with GGUF")
    version = int(reader.number("<I"))
    if version not in (2, 3):
        raise reader.damaged(f"version {version}; 2 and 3 are read, little-endian")
    tensors, keys = reader.count(), reader.count()
    metadata: dict[str, Any] = {}
    for _ in range(keys):
        name = reader.text()
        if name in metadata:
            raise reader.damaged(f"the key {name[:80]} appears twice")
        metadata[name] = reader.value(int(reader.number("<I")))
    told = [_tensor(reader) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise reader.damaged(f"general.alignment is {alignment!r}")
    start = -(-reader.tell() // alignment) * alignment
    found: dict[str, GgufTensor] = {}
    for name, kind, shape, offset in told:
        if kind not in BLOCKS:
            raise UnsupportedArchitecture(
                f"{reader.path}: {name} is {NAMES.get(kind, f'of type {kind}')}, which is not read; "
                f"read are {', '.join(b.name for b in BLOCKS.values())}: give the model in one of them"
            )
        blocks = BLOCKS[kind]
        if name in found or not shape or shape[-1] % blocks.size:
            raise reader.damaged(f"tensor {name[:80]} {list(shape)} of {blocks.name}")
        if offset % alignment:
            raise reader.damaged(f"tensor {name[:80]} lies at {offset}, no multiple of {alignment}")
        length = math.prod(shape) // blocks.size * blocks.bytes
        if start + offset + length > size:
            raise reader.damaged(f"it ends within tensor {name[:80]}")
        found[name] = GgufTensor(name, blocks, shape, reader.path, start + offset)
    return metadata, found


def _tensor(reader: _Reader) -> tuple[str, int, tuple[int, ...], int]:
    name, axes = reader.text(), int(reader.number("<I"))
    if axes > 4:
        raise reader.damaged(f"tensor {name[:80]} has {axes} axes")
    shape = tuple(int(reader.number("<Q")) for _ in range(axes))[::-1]
    if math.prod(shape) > 2**48:
        raise reader.damaged(f"tensor {name[:80]} {list(shape)} is beyond any model")
    return name, int(reader.number("<I")), shape, int(reader.number("<Q"))
