"""`ChipShape`: what the silicon around a chip's arrays depends on, and every size that follows."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.arithmetic.fixed_point import (
    norm_epsilon,
    query_factor,
    sine_table,
    to_fixed,
    turns,
)
from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.model.checkpoint import Architecture
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl._design import Unit, find_units

WIDEST = 64
"""Lanes of the vector unit, at most."""
LARGEST_CONTEXT = 65536
LARGEST_SUM_BITS = 62
LARGEST_ROPE_FACTOR = 2.5
"""Entries of the table of sines rise by less than 2^18."""
LARGEST_LIMIT = 16383.0
"""SwiGLU adds one to what it clamps."""
SEQUENCES = 4


@dataclass(frozen=True)
class ChipShape:
    """Sizes of one chip: lanes, sequences in flight, positions of each, and the model's own.

    Raises DoesNotFit for a model that the units cannot take.
    """

    architecture: Architecture
    activation_bits: int
    width: int
    context: int
    sequences: int
    sum_bits: int

    def __post_init__(self) -> None:
        a = self.architecture
        if a.head_dim > self.width or self.width % a.head_dim:
            raise DoesNotFit(
                f"head_dim {a.head_dim}: the vector unit has {self.width} lanes, which heads of a "
                "power of two up to that fill"
            )
        if a.num_local_experts > self.width:
            raise DoesNotFit(
                f"{a.num_local_experts} experts: the router compares {self.width} logits at most"
            )
        if a.num_experts_per_tok > 16:
            raise DoesNotFit(f"{a.num_experts_per_tok} experts a token: at most 16 have a rank")
        factor = a.rope.frequencies(a.head_dim)[1]
        if not factor <= LARGEST_ROPE_FACTOR:
            raise DoesNotFit(
                f"a factor of {factor:g} on RoPE: the table of sines holds {LARGEST_ROPE_FACTOR:g} "
                "at most"
            )
        if a.swiglu_limit > LARGEST_LIMIT:
            raise DoesNotFit(
                f"swiglu_limit {a.swiglu_limit:g}: at most {LARGEST_LIMIT:g} is clamped to"
            )
        if self.sum_bits > LARGEST_SUM_BITS:
            raise DoesNotFit(
                f"sums of {self.sum_bits} bits: at most {LARGEST_SUM_BITS} become values; "
                "build with fewer --activation-bits"
            )
        for name, size, most in (
            ("registers", self.registers, 1024),
            ("vocabulary beats", self.vocabulary_beats, 1024),
            ("row beats", self.row_beats, 65536),
        ):
            if size > most:
                raise DoesNotFit(f"{size} {name}: instructions number {most} at most")

    def beats(self, n: int) -> int:
        """Beats of a vector of n values."""
        return -(-n // self.width)

    @property
    def hidden_beats(self) -> int:
        """Beats of the residual stream."""
        return self.beats(self.architecture.hidden_size)

    @property
    def query_beats(self) -> int:
        """Beats of all query heads."""
        return self.beats(self.architecture.attention_width)

    @property
    def key_beats(self) -> int:
        """Beats of all key heads."""
        return self.beats(self.architecture.key_value_width)

    @property
    def expert_beats(self) -> int:
        """Beats of an expert's gate."""
        return self.beats(self.architecture.intermediate_size)

    @property
    def vocabulary_beats(self) -> int:
        """Beats of the logits."""
        return self.beats(self.architecture.vocab_size)

    @property
    def activation_beats(self) -> int:
        """Beats of the widest vector that meets an array."""
        return max(self.hidden_beats, self.query_beats, self.expert_beats)

    @property
    def registers(self) -> int:
        """Beats that a sequence keeps."""
        return (
            2 * self.hidden_beats
            + 2 * self.query_beats
            + 4 * self.key_beats
            + 3 * self.expert_beats
            + self.architecture.num_experts_per_tok * self.hidden_beats
            + 1
        )

    @property
    def row_beats(self) -> int:
        """Beats of shifts and biases of all arrays' rows, of every expert."""
        a, width = self.architecture, self.hidden_beats
        layer = self.query_beats + 2 * self.key_beats + width + 1
        layer += a.num_local_experts * (2 * self.expert_beats + width)
        return a.num_hidden_layers * layer + self.vocabulary_beats

    @property
    def epsilon(self) -> int:
        """Of a norm, as its sum of squares takes it."""
        a = self.architecture
        return norm_epsilon(a.rms_norm_eps, a.hidden_size)

    @property
    def turns(self) -> tuple[int, ...]:
        """Angle per position of each pair of a head, 2^-32 turns."""
        a = self.architecture
        found = turns(a.rope.frequencies(a.head_dim)[0])
        return tuple(int(t) & 0xFFFFFFFF for t in found)

    @property
    def sine_entries(self) -> tuple[int, ...]:
        """The table of sines, with YaRN's factor."""
        a = self.architecture
        return tuple(sine_table(a.rope.frequencies(a.head_dim)[1]).tolist())

    @property
    def query_factor(self) -> int:
        """1 / sqrt(head_dim), 2^-16."""
        return query_factor(self.architecture.head_dim)

    @property
    def alpha(self) -> int:
        """SwiGLU's slope as a value."""
        return int(to_fixed(self.architecture.swiglu_alpha))

    @property
    def limit(self) -> int:
        """SwiGLU's bound as a value."""
        return int(to_fixed(self.architecture.swiglu_limit))


def chip_shape(
    build: Build,
    *,
    sequences: int = SEQUENCES,
    context: int | None = None,
    lanes: int | None = None,
) -> ChipShape:
    """The shape of the chip that a build becomes.

    `context` defaults to the model's own, `lanes` to what the widest vector fills, up to 64.

    Raises UnsupportedArchitecture for a family without a program, InvalidInput for a build that is no single chip or has no RTL, DoesNotFit for sizes that
    the units cannot take.
    """
    manifest, a = build.manifest, build.gpt_oss("hnlpu chip")
    if manifest.placement.chips != 1:
        raise InvalidInput(
            f"{build.directory}: is placed on {manifest.placement.chips} chips, and RTL of a whole "
            "chip needs one; build with --chips 1"
        )
    if manifest.placement.scheme != "taps":
        raise InvalidInput(
            f"{build.directory}: a whole chip in RTL is of the taps scheme; build with --scheme taps"
        )
    if not 1 <= sequences <= 64:
        raise InvalidInput(f"{sequences} sequences in flight: 1 to 64 do")
    room = a.max_position_embeddings if context is None else context
    if not 2 <= room <= LARGEST_CONTEXT:
        raise DoesNotFit(
            f"{room} positions: the attention unit counts 2 to {LARGEST_CONTEXT}; give --context"
        )
    if room > a.max_position_embeddings:
        raise InvalidInput(
            f"--context {room}: the model knows {a.max_position_embeddings} positions"
        )
    units = find_units(build)
    whole = {unit.array.matrix: unit for unit in units}
    if len(whole) != len(units):
        raise DoesNotFit(
            f"{build.directory}: a matrix is cut into several arrays, which no chip in RTL adds up; "
            "build with a --bank of all experts"
        )
    sizes = (a.hidden_size, a.attention_width, a.key_value_width, a.intermediate_size)
    width = min(WIDEST, 1 << (max(sizes) - 1).bit_length()) if lanes is None else lanes
    if width & (width - 1) or not 2 <= width <= 1024:
        raise InvalidInput(f"--lanes {width}: a power of two from 2 to 1024 does")
    sum_bits = max(unit.shape.total_bits for unit in units)
    return ChipShape(a, manifest.policy.activation_bits, width, room, sequences, sum_bits)


def units_by_matrix(build: Build) -> dict[str, Unit]:
    """The one array of every matrix."""
    return {unit.array.matrix: unit for unit in find_units(build)}


def ceil_log2(n: int) -> int:
    """Bits that number n things, at least 1."""
    return max(1, (n - 1).bit_length())
