"""A build directory -> `Build`: its manifest and every tensor, mapped on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._paths import absolute
from hnlpu.errors import DamagedBuild, InvalidData, MalformedNetwork
from hnlpu.model.checkpoint import (
    FLOATS,
    Architecture,
    MatrixShape,
    ModelFacts,
    StoredTensor,
    gpt_oss_network,
    kept_parameters,
    read_header,
    shapes_of,
    to_float32,
)
from hnlpu.model.network import Network, check, load
from hnlpu.model.network.composites import check_composites
from hnlpu.silicon.hardwire._convert import (
    bias_name,
    codes_name,
    exponents_name,
    matrix_layout,
    row_exponents_name,
)
from hnlpu.silicon.hardwire._manifest import NETWORK, Manifest, read_manifest
from hnlpu.silicon.hardwire._matrix import Digit, HardwiredMatrix


@dataclass(frozen=True)
class HardwiredStack:
    """The tensors of a stack of matrices, the stack's number first in every shape."""

    digits: tuple[Digit, ...]
    row_exponents: npt.NDArray[np.uint8]
    biases: npt.NDArray[np.float32] | None

    def __getitem__(self, index: int) -> HardwiredMatrix:
        return HardwiredMatrix(
            tuple(Digit(d.codes[index], d.exponents[index]) for d in self.digits),
            self.row_exponents[index],
            None if self.biases is None else self.biases[index],
        )


@dataclass(frozen=True)
class Build:
    """A complete build directory.  Tensors are mapped when asked for, not before."""

    directory: Path
    manifest: Manifest
    tensors: Mapping[str, StoredTensor]
    network: Network

    @property
    def architecture(self) -> Architecture:
        """Hyper-parameters of gpt-oss; raises UnsupportedArchitecture for other families."""
        return self.manifest.gpt_oss(self.directory, "this")

    @property
    def facts(self) -> Architecture | ModelFacts:
        """What readers of text ask for, of any family."""
        return self.manifest.architecture

    def matrices(self) -> tuple[MatrixShape, ...]:
        """Every hardwired matrix, in the order in which data meets them."""
        return shapes_of(self.network)

    def shapes(self) -> dict[str, MatrixShape]:
        """Every hardwired matrix by name, in the order in which data meets them."""
        return {shape.name: shape for shape in self.matrices()}

    def stack(self, shape: MatrixShape) -> HardwiredStack:
        """All matrices of a stack (one per expert, else one), mapped now."""
        name = shape.name
        digits = [
            Digit(
                self._parts(shape, codes_name(name, d)), self._parts(shape, exponents_name(name, d))
            )
            for d in range(len(self.manifest.matrices[name].digits))
        ]
        row_exponents = self._parts(shape, row_exponents_name(name))
        biases = to_float32(self._parts(shape, bias_name(name))) if shape.has_bias else None
        return HardwiredStack(tuple(digits), row_exponents, biases)

    def matrix(self, shape: MatrixShape, index: int = 0) -> HardwiredMatrix:
        """One matrix of a stack, on a mapping of its own that goes with it."""
        return self.stack(shape)[index]

    def _parts(self, shape: MatrixShape, tensor: str) -> npt.NDArray[Any]:
        """A tensor of a matrix with the stack as its first dimension."""
        array = self.tensors[tensor].map()
        return array if shape.bank else array[None]

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """A tensor that stays in memory, as float32."""
        return to_float32(self.tensors[name].map())


def open_build(directory: str | Path) -> Build:
    """Open a build directory and check that its files hold the tensors they must.

    Digests are not computed here; `verify` does that.  Raises NotABuild or
    DamagedBuild.
    """
    folder = absolute(directory)
    manifest = read_manifest(folder)
    tensors: dict[str, StoredTensor] = {}
    for name, record in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise DamagedBuild(f"{path}: file is missing; build it again")
        if path.stat().st_size != record.bytes:
            raise DamagedBuild(
                f"{path}: has {path.stat().st_size} bytes, the manifest says {record.bytes}; "
                "build it again"
            )
        if name.endswith(".safetensors"):
            tensors |= read_header(path, DamagedBuild)[0]
    build = Build(folder, manifest, tensors, network_of_build(folder, manifest))
    _check_tensors(build)
    return build


def network_of_build(folder: Path, manifest: Manifest) -> Network:
    """The network that a build hardwires; raises DamagedBuild."""
    if isinstance(manifest.architecture, Architecture):
        return gpt_oss_network(manifest.architecture)
    path = folder / NETWORK
    try:
        network = load(path.read_bytes())
        check_composites(network, check(network))
    except (OSError, InvalidData, MalformedNetwork) as error:
        raise DamagedBuild(f"{path}: is no sound network ({error}); build it again") from None
    return network


def _check_tensors(build: Build) -> None:
    folder, manifest, tensors = build.directory, build.manifest, build.tensors
    expected: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
        p.name: (FLOATS, p.shape) for p in kept_parameters(build.network)
    }
    for shape in build.matrices():
        record = manifest.matrices.get(shape.name)
        if record is None:
            raise DamagedBuild(f"{folder}: the manifest lacks {shape.name}; build it again")
        for name, (dtype, dims) in matrix_layout(shape, len(record.digits)).items():
            expected[name] = (FLOATS if dtype == "BF16" else (dtype,), dims)
    for name, (dtypes, dims) in expected.items():
        found = tensors.get(name)
        if found is None or found.dtype not in dtypes or found.shape != dims:
            raise DamagedBuild(
                f"{folder}: tensor {name} is missing or of another shape; build it again"
            )
