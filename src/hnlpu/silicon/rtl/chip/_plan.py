"""A build -> the shape of the chip that it becomes, or a refusal before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.model.checkpoint import NO_LIMIT, ModelFacts
from hnlpu.model.network import Append, Network, check
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.place import StackSlice
from hnlpu.silicon.rtl._design import ArrayUnit, find_units
from hnlpu.silicon.rtl.chip._joined import MOST_CHIPS
from hnlpu.silicon.rtl.chip._lower import make_program
from hnlpu.silicon.rtl.chip._shape import ChipShape, widest

WIDEST = 64
"""Lanes of the vector unit, at most, where nobody asks for more."""
LARGEST_CONTEXT = 65536
USUAL_CONTEXT = 1024
"""Positions where a network sets no limit."""
USUAL_SIGNALS = 64
"""Positions of a sequence of signals: the chip holds all of a request's."""
SEQUENCES = 4
HALF_BITS = 16
"""Of a value that chips tell each other."""


def chip_shape(
    build: Build,
    *,
    sequences: int = SEQUENCES,
    context: int | None = None,
    lanes: int | None = None,
    chips: int | None = None,
) -> ChipShape:
    """The shape of the chip that a build becomes, or of each of its `chips`, by default as many as it is built for.

    `context` defaults to the model's own (1024 if it has no limit), `lanes` to what the widest vector
    fills, up to 64.

    Raises UnsupportedArchitecture for a network with a step that the vector unit has no instructions for,
    InvalidInput for a build of another number of chips or without RTL, DoesNotFit for sizes that the units
    cannot take, and for cuts that would need unlike chips.
    """
    manifest, facts = build.manifest, build.facts
    task = facts.task if isinstance(facts, ModelFacts) else None
    built_for = manifest.placement.chips
    if chips not in (None, built_for):
        raise InvalidInput(
            f"{build.directory}: is placed on {built_for} chips, not {chips}; build with `chips` {chips}"
        )
    if task is not None and built_for > 1:
        raise DoesNotFit(
            f"{build.directory}: {built_for} chips, and a network of signals is one chip in RTL; build with "
            "`chips` 1"
        )
    if built_for > MOST_CHIPS:
        raise DoesNotFit(
            f"{build.directory}: {built_for} chips, and a link for each pair in RTL joins "
            f"{MOST_CHIPS} at most; build with fewer `chips`"
        )
    if manifest.placement.scheme != "taps":
        raise InvalidInput(
            f"{build.directory}: a whole chip in RTL is of the taps scheme; build with `scheme` taps"
        )
    if not 1 <= sequences <= 64:
        raise InvalidInput(f"{sequences} sequences in flight: 1 to 64 do")
    known = facts.max_position_embeddings
    room = context
    if room is None:
        usual = USUAL_CONTEXT if task is None else USUAL_SIGNALS
        room = usual if known >= NO_LIMIT else known
    if not 2 <= room <= LARGEST_CONTEXT:
        grows = any(isinstance(state.keeps, Append) for state in build.network.states)
        counts = "the attention unit counts" if grows else "a chip counts"
        raise DoesNotFit(f"{room} positions: {counts} 2 to {LARGEST_CONTEXT}; give `context`")
    if room > known:
        raise InvalidInput(f"`context` {room}: the model knows {known} positions")
    longest = widest(build.network)
    width = min(WIDEST, max(2, 1 << (longest - 1).bit_length())) if lanes is None else lanes
    if width & (width - 1) or not 2 <= width <= 1024:
        raise InvalidInput(f"`lanes` {width}: a power of two from 2 to 1024 does")
    units = find_units(build)
    if len({(unit.array.chip, unit.array.matrix) for unit in units}) != len(units):
        raise DoesNotFit(
            f"{build.directory}: a matrix is cut into several arrays, which no chip in RTL adds up; "
            "build with a `bank` of all experts"
        )
    slices = _slices(build, units) if built_for > 1 else {}
    shape = ChipShape(
        build.network, facts.vocab_size if task is None else _outputs(build.network),
        facts.eos_token_ids, manifest.policy.activation_bits, width, room, sequences,
        _sum_bits(units, slices), task, slices,
    )  # fmt: skip
    make_program(shape)  # says what the units cannot take
    return shape


def _outputs(network: Network) -> int:
    """Numbers that a network of signals gives at a position; raises DoesNotFit for what is no row."""
    shapes = [check(network)[name].shape for name in network.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 1 or not isinstance(shapes[0][0], int):
        raise DoesNotFit(f"outputs {shapes}: a chip of signals gives one row of numbers")
    return shapes[0][0]


def _slices(build: Build, units: Sequence[ArrayUnit]) -> dict[str, tuple[StackSlice, ...]]:
    """Every chip's slice of every matrix, by place; raises DoesNotFit where silicon would differ."""
    placement = build.manifest.placement
    found = {}
    for placed in placement.matrices:
        slices = tuple(sorted(placed.slices, key=lambda one: one.chip))
        shapes = {unit.shape for unit in units if unit.array.matrix == placed.name}
        if len(slices) != placement.chips or len(shapes) != 1:
            raise DoesNotFit(
                f"{build.directory}: {placed.name} is not cut into {placement.chips} equal slices, and "
                "chips of one silicon have arrays of one size; build with a number of `chips` that "
                "divides it"
            )
        found[placed.name] = slices
    return found


def _sum_bits(units: Sequence[ArrayUnit], slices: Mapping[str, tuple[StackSlice, ...]]) -> int:
    """Bits of the widest sum, of all chips that have some of its inputs; several chips tell halves of values too."""
    widest_sum = HALF_BITS if slices else 0
    for unit in units:
        parts = len({one.blocks for one in slices.get(unit.array.matrix, ())})
        widest_sum = max(widest_sum, unit.shape.total_bits + max(0, parts - 1).bit_length())
    return widest_sum


def units_by_matrix(build: Build, chip: int = 0) -> dict[str, ArrayUnit]:
    """A chip's array of every matrix."""
    return {unit.array.matrix: unit for unit in find_units(build) if unit.array.chip == chip}
