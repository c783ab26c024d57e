"""A model and a text that steps are decided on: what its matrices meet, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import dequantize, quantize_mxfp4
from hnlpu.errors import InvalidInput, UnsupportedArchitecture
from hnlpu.model.checkpoint import Model, locate, read_model
from hnlpu.model.edit import Edit, LayerSelection, edited, keep_all
from hnlpu.model.families import DecoderConfig, Family, find_family
from hnlpu.model.network import Matrix, Network
from hnlpu.run.emulate import InterpretedModel, ModelConstants, Tokenizer

WINDOW = 512
"""Positions that the model sees at once: each window begins anew."""
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Tokens = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]
"""Called with (what is done, parts done, parts in all)."""
See = Callable[[str, int, Float32, Float32], None]
"""Told of a matrix, the number of its member, what it met [n, columns], and what it gave [n, rows]."""


class Observed:
    """A model's constants, whose meetings with activations somebody sees."""

    def __init__(self, of: ModelConstants, network: Network, see: See):
        self._of, self._see = of, see
        self._columns = {matrix.name: matrix.columns for matrix in network.matrices}

    def prepare(self, x: Float32) -> Any:
        """As the constants do."""
        return self._of.prepare(x)

    def project(self, name: str, x: Any, index: int = 0) -> Float32:
        """Matrix `name` (member `index`) times x, plus bias: [rows of x, rows]."""
        y = self._of.project(name, x, index)
        self._see(name, index, x.values[:, : self._columns[name]], y)
        return y

    def project_all(self, meetings: Sequence[tuple[str, Any, int]]) -> list[Float32]:
        """`project` of each."""
        return [self.project(*meeting) for meeting in meetings]

    def parameter(self, name: str) -> Float32:
        """A parameter in its shape."""
        return self._of.parameter(name)

    def rows(self, name: str, numbers: npt.NDArray[Any]) -> Float32:
        """Entries of a parameter by their numbers."""
        return self._of.rows(name, numbers)


@dataclass(frozen=True)
class Subject:
    """A checkpoint of a family whose layers may differ, and the tokens that steps are decided on.

    `values` are its config.json; `notes` is a file of what was measured, so that a killed step goes on.
    `all_tokens` are all of the text, for steps that learn; `teacher` is the checkpoint that the chain began with.
    """

    model: Model
    family: Family[Any]
    values: Mapping[str, Any]
    tokens: Tokens
    notes: Path
    progress: Progress
    all_tokens: Tokens
    teacher: Path

    @classmethod
    def open(
        cls, checkpoint: Path, text: str, tokens: int, notes: Path, progress: Progress,
        family: Family[Any] | None = None, teacher: Path | None = None,
    ) -> Subject:  # fmt: skip
        """A checkpoint and the first `tokens` of a text; raises what reading them does.

        `teacher` is the checkpoint that the chain began with (default: this one).
        """
        folder = locate(str(checkpoint), None)
        config = folder / "config.json"
        if not config.is_file():
            raise UnsupportedArchitecture(
                f"{folder}: compression takes a folder with config.json and safetensors"
            )
        values = json.loads(config.read_text("utf-8"))
        of = find_family(values.get("model_type")) if family is None else family
        if not of.of_text:
            raise UnsupportedArchitecture(
                f"{folder}: a network of signals; compression is for text"
            )
        model = read_model(folder, of)
        ids = np.asarray(Tokenizer(model.settings).encode(text, whole=True), np.int64)
        if len(ids) < 2:
            raise InvalidInput(f"the text has {len(ids)} tokens; steps are decided on at least 2")
        return cls(model, of, values, ids[:tokens], notes, progress, ids, teacher or folder)

    def expect_sizes_that_differ(self) -> None:
        """Raise UnsupportedArchitecture for a family whose layers are all of one size."""
        config = self.family.config.read(self.values)
        if not isinstance(config, DecoderConfig) or not config.varying:
            raise UnsupportedArchitecture(
                f"{self.model.directory}: layers of family {self.family.model_types[0]} are all of one "
                "size, so nothing can be taken out of them"
            )

    @cached_property
    def config(self) -> DecoderConfig:
        """The config as its family reads it; raises UnsupportedArchitecture for other families."""
        self.expect_sizes_that_differ()
        config = self.family.config.read(self.values)
        assert isinstance(config, DecoderConfig)
        return config

    @property
    def layers(self) -> int:
        """Number of layers; 0 for a family whose layers are all of one size."""
        config = self.family.config.read(self.values)
        return config.num_hidden_layers if isinstance(config, DecoderConfig) else 0

    @cached_property
    def constants(self) -> ModelConstants:
        """The checkpoint's own values."""
        return ModelConstants(self.model)

    def windows(self) -> Iterator[Tokens]:
        """The tokens in windows that the model sees at once."""
        limit = self.model.network.context
        size = WINDOW if limit is None else min(WINDOW, limit)
        for start in range(0, len(self.tokens), size):
            if len(part := self.tokens[start : start + size]) > 1:
                yield part

    def observe(self, see: See) -> None:
        """Run the model over the text; `see` is told of every meeting."""
        watched = Observed(self.constants, self.model.network, see)
        running = InterpretedModel(
            self.model.network, self.model.architecture, watched, self.model.directory
        )
        for part in self.windows():
            running.logits(running.forward(part, running.new_cache()))

    def without(self, layers: Sequence[LayerSelection]) -> InterpretedModel:
        """The model without some halves of layers; its matrices are those of the whole model."""
        network = edited(self.family, self.values, Edit(tuple(layers))).network
        own = replace(self.model, network=network)
        return InterpretedModel(
            network, self.model.architecture, _Shared(own, self.constants), self.model.directory
        )

    def whole(self) -> InterpretedModel:
        """The model as it is."""
        return self.without(keep_all(self.layers))

    def matrices(self, layer: int, role: str) -> list[Matrix]:
        """The matrices of a role in a layer, in the order in which data meets them."""
        return [m for m in self.model.network.matrices if m.block == layer and m.role == role]


class _Shared(Observed):
    """Parameters of a network of its own, matrices of another's constants, which unpack them once."""

    def __init__(self, own: Model, of: ModelConstants):
        super().__init__(of, own.network, lambda *_: None)
        self._own = ModelConstants(replace(own, matrices={}))

    def parameter(self, name: str) -> Float32:
        """A parameter in its shape."""
        return self._own.parameter(name)


def dense_values(subject: Subject, matrix: Matrix, member: int) -> Float32:
    """Weights [rows, columns] of a member, columns in whole blocks; raises NotFinite."""
    stored = subject.model.matrices[matrix.name]
    if stored.is_mxfp4:
        return dequantize(*stored.packed(member))
    return stored.dense(member)


def holds_in_one_digit(subject: Subject, matrix: Matrix) -> bool:
    """Whether one MXFP4 digit holds every weight of a matrix exactly."""
    if subject.model.matrices[matrix.name].is_mxfp4:
        return True
    return all(
        bool(np.array_equal(dequantize(*quantize_mxfp4(dense)), dense))
        for dense in (dense_values(subject, matrix, n) for n in range(matrix.count))
    )
