"""A language model around torch.nn.GRU, and its checkpoint.

Every matrix that a chip hardwires passes through `FakeQuantize` while `quantize` is set.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model import FakeQuantize, Plain, mxfp4_grid


@dataclass(frozen=True)
class GruShape:
    """Hyper-parameters, named as in config.json."""

    vocab_size: int = 256
    embedding_size: int = 64
    hidden_size: int = 128
    num_hidden_layers: int = 1


class GruModel(nn.Module):
    def __init__(self, shape: GruShape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size, shape.embedding_size)
        nn.init.normal_(self.embedding.weight, std=0.5)
        self.gru = nn.GRU(
            shape.embedding_size, shape.hidden_size, shape.num_hidden_layers, batch_first=True
        )
        self.lm_head = Plain(shape.hidden_size, shape.vocab_size, bias=False)

    def set_quantize(self, on: bool) -> None:
        """Switch the MXFP4 grid on or off for all matrices."""
        self.lm_head.quantize = on

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [batch, length, vocab] for `tokens` [batch, length], and no balance loss: 0."""
        x = self.embedding(tokens)
        weights = dict(self.gru.named_parameters())
        if self.lm_head.quantize:
            weights = {
                name: FakeQuantize.apply(value).float() if value.ndim == 2 else value
                for name, value in weights.items()
            }
        h, _ = torch.func.functional_call(self.gru, weights, (x,))
        return self.lm_head(h).float(), x.new_zeros(())


def gru_tensors(state: dict[str, Tensor], shape: GruShape) -> dict[str, Tensor]:
    """The tensors of a checkpoint from those of `GruModel`, in bfloat16; matrices on the grid."""
    tensors = {}
    for name, value in state.items():
        hardwired = value.ndim == 2 and not name.startswith("embedding")
        tensors[name] = (mxfp4_grid(value) if hardwired else value).bfloat16().contiguous()
    return tensors


def gru_config(shape: GruShape, context: int) -> dict[str, Any]:
    """config.json of the family gru; `context` is no limit of it."""
    return {
        "eos_token_id": 0,
        "model_type": "gru",
        "pad_token_id": 1,
        "torch_dtype": "bfloat16",
        **asdict(shape),
    }
