"""survey.toml -> what surveys list of published models, computed from their configs: parameters, operations, bytes."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from hnlpu.model.checkpoint import kept_parameters, read_network
from hnlpu.quantities import Contradiction, DataTable, Quantity, Slug, Title, Unit, read_data
from hnlpu.system.catalog._load import load_model
from hnlpu.system.catalog._network import NetworkShape, shape_of_network

Weights = Annotated[Quantity, Unit("weight", 1e6, 1e13, wide="from 100 million to a trillion")]
PLAIN_BYTES = 2
"""Of a weight in bfloat16."""


class SurveyedModel(DataTable):
    """A model, its config or its name in the catalog, and the parameters that are published of it.

    `active` are those that a token meets, where the source says so; `active_has_table` whether it counts the
    embedding table among them.
    """

    name: Slug
    config: Annotated[str, Field(max_length=4000, pattern=r"^\{.*\}$")] | None = None
    catalog: Title | None = None
    parameters: Weights
    active: Weights | None = None
    active_has_table: bool = True

    @model_validator(mode="after")
    def _described(self) -> SurveyedModel:
        if (self.config is None) == (self.catalog is None):
            raise Contradiction(("name",), "give a config, or the name of a catalog's model")
        return self


class Survey(DataTable):
    """Published models."""

    name: Slug
    model: Annotated[list[SurveyedModel], Field(min_length=1)]


@dataclass(frozen=True)
class Surveyed:
    """What a config says, beside what is published.

    `operations` are 2 for each weight of a matrix that a token meets, without attention's over the positions;
    `weight_bytes` those of all parameters in bfloat16, or as the catalog's formats store them.
    """

    name: str
    layers: int
    parameters: int
    active: int
    table: int
    operations: int
    weight_bytes: float
    published: SurveyedModel

    @property
    def error(self) -> float:
        """Computed over published parameters, less 1."""
        return self.parameters / self.published.parameters.value - 1

    @property
    def active_error(self) -> float | None:
        """The same of the parameters that a token meets; None where none are published."""
        if self.published.active is None:
            return None
        table = 0 if self.published.active_has_table else self.table
        return (self.active - table) / self.published.active.value - 1


def load_survey() -> Survey:
    """The models of the survey with what is published of them."""
    with resources.as_file(resources.files("hnlpu.system.catalog") / "survey.toml") as path:
        return read_data(Path(path), Survey)


def surveyed(one: SurveyedModel) -> Surveyed:
    """Compute what a survey lists of a model; raises the errors of reading a config."""
    if one.catalog is not None:
        return _of_catalog(one)
    assert one.config is not None
    values: dict[str, Any] = json.loads(one.config)
    with tempfile.TemporaryDirectory(prefix="hnlpu-survey-") as folder:
        (Path(folder) / "config.json").write_text(one.config, "utf-8")
        shape = shape_of_network(read_network(Path(folder)), one.name)
    tied = bool(values.get("tie_word_embeddings"))
    table = 0 if tied else shape.embedding_weights  # else it is the unembedding's own
    everything = _matrix_parameters(shape) + _kept_parameters(shape)
    parameters = everything - (shape.embedding_weights if tied else 0)
    return Surveyed(
        one.name, shape.layers, parameters, shape.active_weights + table, table, 2 * shape.active_weights,
        PLAIN_BYTES * parameters, one,
    )  # fmt: skip


def _matrix_parameters(shape: NetworkShape) -> int:
    return sum(
        m.count * (m.rows * m.columns + (m.rows if m.bias else 0)) for m in shape.network.matrices
    )


def _kept_parameters(shape: NetworkShape) -> int:
    return sum(math.prod(p.shape) for p in kept_parameters(shape.network))


def _of_catalog(one: SurveyedModel) -> Surveyed:
    shape = load_model(str(one.catalog))
    active = shape.active_weights
    return Surveyed(
        one.name, shape.layers, shape.parameters, active + shape.embedding_weights, shape.embedding_weights, 2 * active,
        (shape.hardwired_bits() + 16 * shape.embedding_weights) / 8, one,
    )  # fmt: skip
