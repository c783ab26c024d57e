"""`Model`: a checkpoint, every tensor checked by name and shape, whatever its family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hnlpu.errors import NotFinite
from hnlpu.model.checkpoint._config import Architecture
from hnlpu.model.checkpoint._facts import ModelFacts
from hnlpu.model.checkpoint._part import NamedTensor
from hnlpu.model.checkpoint._shapes import MatrixShape, shapes_of
from hnlpu.model.checkpoint._tensors import to_float32
from hnlpu.model.network import Network

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

CARRIED_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                 "chat_template.jinja", "generation_config.json")  # fmt: skip


class Kept(NamedTensor, Protocol):
    """A tensor that stays in memory: `StoredTensor`, or what a source makes of some."""

    def map(self) -> npt.NDArray[Any]:
        """Its numbers; bfloat16 as bits."""
        ...

    def rows(self, rows: slice) -> npt.NDArray[Any]:
        """Some entries of its first axis, as `map` has them."""
        ...


class StoredMatrix(Protocol):
    """A stack of matrices as a checkpoint has it, whatever way it lies there."""

    @property
    def shape(self) -> MatrixShape:
        """Name and size."""
        ...

    @property
    def is_mxfp4(self) -> bool:
        """Whether the checkpoint holds MXFP4 blocks and scales."""
        ...

    @property
    def bias_tensor(self) -> Kept | None:
        """Biases [rows] or [count, rows], if any."""
        ...

    @property
    def origin(self) -> str:
        """The file and tensor to blame."""
        ...

    def packed(self, index: int, rows: slice = slice(None)) -> tuple[UInt8, UInt8]:
        """Blocks [rows, columns/32, 16] and scales [rows, columns/32] of one; raises NotFinite."""
        ...

    def dense(self, index: int, rows: slice = slice(None)) -> Float32:
        """Some rows of one that is not MXFP4: [rows, columns]; raises NotFinite."""
        ...

    def bias(self) -> Float32 | None:
        """Biases [count, rows], or None; raises NotFinite."""
        ...


@dataclass(frozen=True)
class Model:
    """A checkpoint: checked, mapped, nothing read but the headers.

    `vectors` are the tensors that stay in memory, by the names of the network's parameters, and
    `files` those that hold weights.  `settings` is the folder of config and tokenizer: the
    checkpoint's own, or what a file of weights says of them.  `notes` are lines about what lies in
    the files and is left out, since no weight depends on it.
    """

    directory: Path
    architecture: Architecture | ModelFacts
    network: Network
    matrices: Mapping[str, StoredMatrix]
    vectors: Mapping[str, Kept]
    files: tuple[Path, ...]
    settings: Path
    notes: tuple[str, ...] = ()

    def vector(self, name: str, rows: slice = slice(None)) -> Float32:
        """A tensor that stays in memory (or some rows of it), as float32; raises NotFinite."""
        tensor = self.vectors[name]
        return finite(tensor, tensor.rows(rows))

    def shapes(self) -> tuple[MatrixShape, ...]:
        """Every matrix that is hardwired, in the order in which data meets them."""
        return shapes_of(self.network)

    def weight_files(self) -> list[Path]:
        """The files that hold this model's tensors, sorted."""
        return sorted(set(self.files))

    def carried_files(self) -> list[Path]:
        """Tokenizer and generation settings that a build carries along."""
        named = [p for name in CARRIED_FILES if (p := self.settings / name).is_file()]
        # chat templates beside the first; a build has them beside it, too
        more = sorted((self.settings / "additional_chat_templates").glob("*.jinja"))
        return named + [p for p in more if p.name not in CARRIED_FILES]

    def source_files(self) -> dict[str, Path]:
        """All files that a build is made of, by their names beside or below the weights'."""
        named = {path.name: path for path in self.weight_files()}
        for path in (self.settings / "config.json", *self.carried_files()):
            named[path.relative_to(self.settings).as_posix()] = path
        return named


def finite(tensor: Kept, raw: npt.NDArray[Any]) -> Float32:
    """Numbers `raw` of `tensor` as contiguous float32; raises NotFinite on NaN or infinity."""
    values = to_float32(raw)
    if not np.isfinite(values).all():
        raise NotFinite(
            f"{tensor.file}: {tensor.name} holds NaN or infinity; repair the checkpoint"
        )
    return np.ascontiguousarray(values)
