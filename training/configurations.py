"""The models that this folder trains: what each is shaped like and how it is trained.

`stdlib-8m` is the bundled model.  `stdlib-140k` is small enough to be simulated as one
chip in RTL; every matrix of it that a chip hardwires lies on the MXFP4 grid.  `llama-90k`,
`qwen3-90k` and `gru-106k` are as small, of other families.  `smoke` trains in seconds,
for tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dense import DenseShape
from kinds import AnyShape
from model import Shape
from recurrent import GruShape


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result besides the text and the shape."""

    steps: int = 2000
    batch_tokens: int = 8192
    sequence: int = 512
    long_sequence: int = 1024  # also the limit of positions
    long_from: float = 0.75  # fraction of the run
    quantize_from: float = 0.40
    warmup_steps: int = 60
    decay_from: float = 0.45
    muon_lr: float = 6e-3
    adamw_lr: float = 3e-3
    weight_decay: float = 0.05
    balance_weight: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Configuration:
    """A shape, its recipe and how much of the text it reads (None: all)."""

    shape: AnyShape
    recipe: Recipe
    text_bytes: int | None = None


SMALL = Recipe(
    steps=2500, batch_tokens=2048, sequence=128, long_sequence=256, muon_lr=1e-2, adamw_lr=2e-2
)
LONGER = replace(SMALL, steps=8000)

CONFIGURATIONS = {
    "stdlib-8m": Configuration(Shape(), Recipe()),
    "stdlib-140k": Configuration(
        Shape(
            vocab_size=256, hidden_size=64, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_local_experts=4,
            sliding_window=32, initial_context_length=64, grid_everywhere=True,
        ),
        SMALL,
    ),
    "llama-90k": Configuration(DenseShape(rope_factor=4.0), LONGER),
    "qwen3-90k": Configuration(
        DenseShape(qk_norm=True, tie_word_embeddings=True), replace(LONGER, adamw_lr=1e-2)
    ),
    "gru-106k": Configuration(GruShape(), replace(LONGER, adamw_lr=6e-3)),
    "smoke": Configuration(
        Shape(
            vocab_size=384, hidden_size=64, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, head_dim=32, num_local_experts=4,
        ),
        Recipe(steps=12, batch_tokens=512, sequence=128, long_sequence=256, warmup_steps=2),
        text_bytes=100_000,
    ),
}  # fmt: skip
