"""A language model around torch.nn.GRU: embedding, recurrent layers, logits.

The checkpoint has the names of a module with `embedding` (nn.Embedding), `gru` (nn.GRU) and
`lm_head` (nn.Linear):

    embedding.weight                [vocab_size, embedding_size]
    gru.weight_ih_l0, _l1 ...       [3 * hidden_size, width of the layer below], rows reset, update, new
    gru.weight_hh_l0, _l1 ...       [3 * hidden_size, hidden_size]
    gru.bias_ih_l0, gru.bias_hh_l0  [3 * hidden_size], with `bias`
    lm_head.weight                  [vocab_size, hidden_size]; may be left out where it is tied
    lm_head.bias                    [vocab_size], with `head_bias`
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from hnlpu.model.families._config import SIZE_LIMIT, Config
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import embed, recurrence, unembed
from hnlpu.model.network import Builder, Network
from hnlpu.model.network.composites import gru


class Gru(Config):
    """config.json of a GRU language model."""

    harmless: ClassVar[dict[str, str]] = {"dropout": "dropout: training only"}

    embedding_size: int = Field(ge=1, le=SIZE_LIMIT)
    bias: bool = True
    head_bias: bool = False

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The embedding is as wide as the layers where the file is silent."""
        if "hidden_size" in values:
            values.setdefault("embedding_size", values["hidden_size"])
        return values

    @model_validator(mode="after")
    def _tied_widths_agree(self) -> Self:
        if self.tie_word_embeddings and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"tie_word_embeddings with an embedding_size of {self.embedding_size} and a "
                f"hidden_size of {self.hidden_size}"
            )
        return self


def network(c: Gru) -> Network:
    """The network of a config."""
    b = Builder("gru", context=c.max_position_embeddings)
    x = embed(b, "embedding", c.vocab_size, c.embedding_size)
    for layer in range(c.num_hidden_layers):
        with b.block(layer):
            x = gru(x, *recurrence(b, f"gru.{{}}_{{}}_l{layer}", 3, x, c.hidden_size, bias=c.bias))
    tied = "embedding" if c.tie_word_embeddings else None
    return b.finish(unembed(x, c.vocab_size, tied=tied, bias=c.head_bias))


FAMILY = Family(("gru",), Gru, network, "a language model around torch.nn.GRU", "torch")
