"""Whatever is edited in a design's file moves every figure that depends on it, as in the published machine's.

The designs are of a model on six chips with links and memory, and of one whose chip holds everything.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from edited_systems import changed, name_of, numbers

from hnlpu.system.audit import audit
from hnlpu.system.catalog import System, load_system
from hnlpu.system.cost import OwnershipPlan, cost, cost_facts
from hnlpu.system.design import Design, design
from hnlpu.system.machine import closed_form, kv_state, machine_target, token_work

H100 = load_system("h100")
MODELS = {
    "llama-3.1-8b": "llama-3.1-8b",
    "gru-106k": str(Path(__file__).parents[3] / "checkpoints" / "gru-106k"),
}
RATE, LATENCY, MEMORY, MONEY, TOKEN, CARBON, BANDS, AUDIT, TARGET = (
    "tokens/s", "latency", "memory", "tco", "$ a million", "tCO2e", "bands", "audit", "target",
)  # fmt: skip

MOVES = {
    "target": {TARGET},
    "die": {AUDIT},
    "block": {AUDIT},
    "array.area_per_bit": {AUDIT},
    "machine.clock": {LATENCY},
    "machine.hbm.capacity": {MEMORY, MONEY, TOKEN},
    "machine.hbm.stacks": {MEMORY, MONEY, TOKEN},
    "machine.hbm.bandwidth": {RATE, TOKEN},  # what limits this model
    "machine.link.latency": {LATENCY},
    "machine.buffer.capacity": {MEMORY},
    "power.system": {MONEY, TOKEN, CARBON},
    "prices": {MONEY, TOKEN},
    "ownership": {MONEY, TOKEN},
    "ownership.grid_carbon": {CARBON},
    "ownership.module_carbon": {CARBON},
    "ownership.mask_carbon": {CARBON},
    "range": {BANDS},
}
"""Figures that a part of the file moves; the longest prefix of a key counts."""
NOTHING = {
    "die.density": "checked against the area of a bit when the file is read",
    "power.overhead": "the factor with which `hnlpu explore` scales designs",
    "power.chip": "the sum of the blocks; the audit has the blocks' and the system's",
    "array.bank": "masks of the file are already those of its banks",
    "machine.activation_bits": "cycles of a pass; arrays are never what limits these two",
    "machine.buffer": "never what limits these two: its size counts",
    "machine.hbm": "the audit has its bandwidth",
    "machine.link": "columns of links are never what limits these two",
    "prices.wafer.clustering": "this file's yield is Murphy's",
    "prices.assembly.hbm": "of a chip without memory",
    "prices.masks.euv_weight": "of a set without EUV masks, or moves the other end",
    "ownership.chips_per_network": "chips take as many networks with one chip more or less",
    "ownership.updates": "`hnlpu cost` has --respins",
    "ownership.respin_time": "moves from which volume hardwiring pays, not what a system costs",
    "ownership.spares": "spares are whole systems",
    "range": "a doubt about what this file has none of",
}
"""What may move nothing of the machine's rate and money, and why."""
NOTHING_OF = {
    "llama-3.1-8b": {},
    "gru-106k": {
        "machine.kv_bits": "it has no keys and values",
        "machine.vector_unit": "tokens in flight limit it",
        "prices.masks.layer": "one chip pays the whole set, however it is shared out",
    },
}
"""The same of one design alone."""
TOGETHER = ("chips", "machine.rows", "machine.columns", "machine.buffer.banks")
"""Numbers that others of the file must agree with."""


@cache
def designed(name: str) -> Design:
    return design(MODELS[name])


def figures(made: Design, system: System) -> dict[str, Any]:
    """What the commands say of the file at its own target."""
    shape, bits = made.subject.shape, made.subject.bits
    target = machine_target(system, shape, bits)
    spec = target.specification
    rate = closed_form(spec, target.model, target.context, target.users, sliding=target.windows)
    work = token_work(target.model, spec.rows, spec.columns, sliding=False)
    found = cost(system, made.subject, OwnershipPlan(), 20)
    facts = cost_facts(found, H100)
    memory = kv_state(spec, work, 0, spec.slots, 65_536)
    return {
        RATE: found.rate.tokens_per_second, LATENCY: rate.latency,
        MEMORY: (memory.bytes, memory.capacity_bytes), MONEY: facts["tco_musd"],
        TOKEN: facts["usd_per_mtoken"], CARBON: facts["carbon_t"], BANDS: facts["bands"],
        TARGET: (target.users, target.context),
    }  # fmt: skip


def audited(made: Design, system: System) -> list[tuple[float, ...]]:
    found = audit(system, made.subject.shape, bits=made.subject.bits, digits=made.subject.digits)
    return [(c.computed, c.claimed, c.low, c.high) for c in found.claims]


def expected(key: str) -> set[str]:
    found = [prefix for prefix in MOVES if key == prefix or key.startswith(prefix + ".")]
    return MOVES[max(found, key=len)] if found else set()


@pytest.mark.parametrize("name", MODELS)
def test_every_value_of_a_design_moves_what_depends_on_it(name: str) -> None:
    made = designed(name)
    given = made.system.model_dump()
    before, audit_before = figures(made, made.system), audited(made, made.system)
    paths = [p for p in numbers(given) if name_of(p) not in TOGETHER]
    nothing = NOTHING | NOTHING_OF[name]
    assert len(paths) > 60
    wrong = []
    for path in paths:
        key = name_of(path)
        system = changed(given, path)
        if system is None:
            wrong.append(f"{key}: no change passes the file's own checks")
            continue
        after = figures(made, system)
        moved = {what for what, value in after.items() if value != before[what]}
        wanted = expected(key)
        if (AUDIT in wanted or not moved) and audited(made, system) != audit_before:
            moved.add(AUDIT)
        if RATE in moved:
            assert TOKEN in moved, key
        if any(key.startswith(known) for known in nothing):
            continue
        if not moved or not wanted <= moved:
            wrong.append(f"{key} moves {sorted(moved)}, not {sorted(wanted)}")
    assert not wrong, "\n".join(wrong)
