"""A model on a grid of hardwired chips: how fast, what it uses, what limits it.

System, Model ──► Specification, TokenWork ──► _items ──► _analytic   one token's latencies and demands
                                                     └──► _program ──► _engine   tokens that compete

A model of the catalog becomes the tasks of a token in `_work`, a network in `_walk`.
"""

from hnlpu.system.machine._analytic import (
    PARTS,
    RESOURCES,
    Latency,
    largest_demand,
    serial_time,
    token_costs,
    token_demand,
    token_latency,
)
from hnlpu.system.machine._closed import ClosedForm, closed_form, default_context
from hnlpu.system.machine._facts import StateFacts, busy_machine, state_facts
from hnlpu.system.machine._items import token_link_bytes, token_steps
from hnlpu.system.machine._kv import HELD_BYTES, KvState, held_bytes, held_sequences, kv_state
from hnlpu.system.machine._open import (
    MachineTarget,
    machine_target,
    open_network,
    parse_grid,
    uses_windows,
    usual_context,
)
from hnlpu.system.machine._published import (
    Calibration,
    bit_serial_cycles,
    calibrate,
    exact_widths,
    specification,
)
from hnlpu.system.machine._requests import Requests, TraceFacts, poisson_requests, uniform_requests
from hnlpu.system.machine._simulate import Contention, Load, Simulation, prefill_time, simulate
from hnlpu.system.machine._specification import Collective, Links, Sampling, Specification
from hnlpu.system.machine._tasks import Bank, TokenWork, bank_of, memories
from hnlpu.system.machine._trace import read_trace
from hnlpu.system.machine._work import bank_size, expected_rounds, token_work

__all__ = [
    "HELD_BYTES",
    "PARTS",
    "RESOURCES",
    "Bank",
    "Calibration",
    "ClosedForm",
    "Collective",
    "Contention",
    "KvState",
    "Latency",
    "Links",
    "Load",
    "MachineTarget",
    "Requests",
    "Sampling",
    "Simulation",
    "Specification",
    "StateFacts",
    "TokenWork",
    "TraceFacts",
    "bank_of",
    "bank_size",
    "bit_serial_cycles",
    "busy_machine",
    "calibrate",
    "closed_form",
    "default_context",
    "exact_widths",
    "expected_rounds",
    "held_bytes",
    "held_sequences",
    "kv_state",
    "largest_demand",
    "machine_target",
    "memories",
    "open_network",
    "parse_grid",
    "poisson_requests",
    "prefill_time",
    "read_trace",
    "serial_time",
    "simulate",
    "specification",
    "state_facts",
    "token_costs",
    "token_demand",
    "token_latency",
    "token_link_bytes",
    "token_steps",
    "token_work",
    "uniform_requests",
    "uses_windows",
    "usual_context",
]
