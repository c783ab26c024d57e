"""`Specification`: a machine in the units that the simulator computes in.

A grid of chips; each has neuron arrays for its slice of every matrix, one vector unit, an attention
buffer, HBM, and a link to every other chip of its row and of its column.

    column links   exchanges between the chips that share heads and split positions and inputs
    row links      exchanges between the chips that split heads and outputs
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hnlpu.arithmetic.exchange import ExchangeFormats, Widths
from hnlpu.errors import InvalidInput

Collective = Literal["direct", "scatter", "ring"]
"""How chips exchange: all values to all peers; reduce-scatter then all-gather; around a ring.

On links to neighbours only there is one way: to the middle of the line and back."""

Sampling = Literal["gather", "candidates"]
"""What the unembedding sends: all logits, or each chip's best one (exact with Gumbel noise)."""

HEAD_DIMENSION = 64
HEAD_QUERIES = 8
"""A "cached head a cycle" is 64 values of one key or value against the 8 queries that share it."""


@dataclass(frozen=True)
class Links:
    """The links of one axis: bytes/s in each direction, seconds; to all chips or to neighbours."""

    bandwidth: float
    latency: float
    neighbours: bool = False


@dataclass(frozen=True)
class Specification:
    """A machine.  SI units: bytes, seconds, hertz.

    `slots` tokens are in flight.  `pass_cycles` is one pass through a neuron array,
    `vector_latency_cycles` one operation of the vector unit; both are latencies of a token alone.
    The vector unit takes up `heads_per_cycle` cached head vectors a cycle, and a token's own sum
    takes `attention_latency` times as long as that.  `link_sharing`, where a publication implies it,
    is how many times its own time on a link a token spends there when all slots are taken; only
    the analytic mode uses it.  `experts_per_bank` experts of a chip share their arrays (0: all of a chip).
    `formats` are those of what crosses links, `widths` the bits of exact numbers there (docs/exchange.md).
    """

    rows: int
    columns: int
    slots: int
    clock: float
    column_links: Links
    row_links: Links
    collective: Collective
    sampling: Sampling
    heads_per_cycle: float
    attention_latency: float
    vector_latency_cycles: float
    pass_cycles: float
    experts_per_bank: int
    buffer_bytes: float
    buffer_bandwidth: float
    hbm_bytes: float
    hbm_bandwidth: float
    hbm_latency: float
    kv_bits: int
    formats: ExchangeFormats
    widths: Widths
    link_sharing: float = 1.0

    def __post_init__(self) -> None:
        """Raises InvalidInput naming the field and what it may be."""
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and not 0 <= value < 1e18:
                raise InvalidInput(f"machine {name} is {value:g}; it may be 0 to 1e18")
        for name, links, chips in (
            ("column_links", self.column_links, self.rows),
            ("row_links", self.row_links, self.columns),
        ):
            if not (0 <= links.latency < 1 and 0 <= links.bandwidth < 1e18):
                raise InvalidInput(
                    f"machine {name}: latency {links.latency:g} s, bandwidth "
                    f"{links.bandwidth:g} bytes/s; give 0 to 1 s and 0 to 1e18 bytes/s"
                )
            if chips > 1 and not links.bandwidth > 0:
                raise InvalidInput(f"machine {name}: {chips} chips need a bandwidth above 0")
        for name in ("rows", "columns", "slots", "clock", "heads_per_cycle", "pass_cycles",
                     "vector_latency_cycles", "buffer_bandwidth", "kv_bits"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise InvalidInput(f"machine {name} is {getattr(self, name):g}; it must be above 0")
        if self.rows > 256 or self.columns > 256:
            raise InvalidInput(
                f"machine rows and columns are {self.rows} and {self.columns}; at most 256 each"
            )
        if self.slots > 65536:
            raise InvalidInput(f"machine slots is {self.slots}; at most 65536 tokens in flight")
        if self.hbm_bytes > 0 and not self.hbm_bandwidth > 0:
            raise InvalidInput("machine hbm_bandwidth is 0; it must be above 0 where there is HBM")
        for name in ("attention_latency", "link_sharing"):
            if not getattr(self, name) >= 1:
                raise InvalidInput(f"machine {name} is {getattr(self, name):g}; at least 1")
        if self.collective not in get_args(Collective):
            raise InvalidInput(
                f"collective {self.collective!r} is unknown; choose from "
                f"{', '.join(get_args(Collective))}"
            )
        if self.sampling not in get_args(Sampling):
            raise InvalidInput(
                f"sampling {self.sampling!r} is unknown; choose from "
                f"{', '.join(get_args(Sampling))}"
            )

    @property
    def chips(self) -> int:
        """Chips of the grid."""
        return self.rows * self.columns

    @property
    def lanes(self) -> float:
        """Elements that the vector unit handles a cycle, one multiplier each."""
        return self.heads_per_cycle * HEAD_DIMENSION

    @property
    def attention_macs(self) -> float:
        """Multiplications of attention a cycle."""
        return self.heads_per_cycle * HEAD_DIMENSION * HEAD_QUERIES
