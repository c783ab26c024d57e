"""The kinds of models that this folder trains: what makes each, and what it is written as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from dense import Dense, DenseShape, dense_config, dense_tensors
from gpt_oss_checkpoint import gpt_oss_config, gpt_oss_tensors
from model import GptOss, Shape
from recurrent import GruModel, GruShape, gru_config, gru_tensors

AnyShape = Shape | DenseShape | GruShape


@dataclass(frozen=True)
class Kind:
    """A kind of model: its shape, its module, its checkpoint's tensors and config.json."""

    shape: Callable[..., AnyShape]
    module: Callable[[Any], nn.Module]
    tensors: Callable[[dict[str, Tensor], Any], dict[str, Tensor]]
    config: Callable[[Any, int], dict[str, Any]]


KINDS = {
    "gpt_oss": Kind(Shape, GptOss, gpt_oss_tensors, gpt_oss_config),
    "dense": Kind(DenseShape, Dense, dense_tensors, dense_config),
    "gru": Kind(GruShape, GruModel, gru_tensors, gru_config),
}


def kind_of(shape: AnyShape) -> str:
    """The name of a shape's kind."""
    return next(name for name, kind in KINDS.items() if kind.shape is type(shape))
