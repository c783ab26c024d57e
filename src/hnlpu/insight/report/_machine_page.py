"""A simulated machine -> its page: time over context, roofs, use, die, money and carbon."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu._version import __version__
from hnlpu.insight.report import _machine_charts as charts
from hnlpu.insight.report._plot import binary
from hnlpu.insight.report._sheet import Section, Sheet, render_sheet
from hnlpu.insight.report._svg import byte_size, percent
from hnlpu.system.cost import Costing, CostSubject, OwnershipPlan, cost
from hnlpu.system.machine import (
    PARTS,
    Load,
    MachineTarget,
    Simulation,
    TokenWork,
    kv_state,
    simulate,
    token_demand,
    token_work,
)

CONTEXTS = (2048, 8192, 32768, 65536, 131072, 262144)
RETICLE_MM = (26.0, 33.0)  # full field of a 4x reduction scanner
WAITED_FOR = {
    "column links": "communication", "row links": "communication", "vector unit": "attention",
    "neuron arrays": "projection", "expert banks": "projection", "HBM": "stall",
    "serial regions": "stall",
}  # fmt: skip


@dataclass(frozen=True)
class ContextSweep:
    """The same machine over contexts: the paper's view, and everything shared without and with windows."""

    contexts: tuple[int, ...]
    alone: tuple[Simulation, ...]
    shared: tuple[Simulation, ...]
    windows: tuple[Simulation, ...]
    roofs: dict[str, tuple[float, ...]]


def render_machine(target: MachineTarget, load: Load, sliding: bool, result: Simulation) -> str:
    """The page of one simulation."""
    sweep = _sweep(target)
    spec, model = target.specification, target.model
    windows = "with" if sliding else "without"
    sections = [_time(sweep, result), _roofs(sweep), _use(result), _table(sweep)]
    sections += _system_sections(target, load, sliding, result)
    return render_sheet(
        Sheet(
            eyebrow="simulated machine",
            title=f"{model.name} on {target.name}",
            lead=(
                f"{spec.chips} chip{'s' * (spec.chips != 1)} in a grid of {spec.rows} x {spec.columns}, {spec.slots} tokens "
                f"in flight, {spec.kv_bits}-bit keys and values, {windows} sliding windows, "
                f"contention {result.contention}."
            ),
            tiles=_tiles(load, result),
            sections=sections,
            made=f"hnlpu {__version__} simulate. Formulas and sources: docs/machine.md.",
        )
    )


def _tiles(load: Load, result: Simulation) -> list[tuple[str, str, str]]:
    where = "over the requests" if load.requests else f"at {load.context:,} positions"
    prompt = "mean over the requests" if load.requests else f"of a prompt of {load.context:,}"
    fits = "fit" if result.kv.fits else "do not fit"
    return [
        (f"{result.tokens_per_second:,.0f}", "tokens/s", f"generated, {where}"),
        (
            f"{result.tokens_per_second_per_user:,.1f}",
            "tokens/s for a user",
            f"{result.admitted:,} at once",
        ),
        (f"{result.latency * 1e6:,.1f} us", "latency of a token",
         f"{result.unloaded_latency * 1e6:,.1f} us on an empty machine"),
        (f"{result.ttft * 1e3:,.2f} ms", "to the first token", prompt),
        (result.bottleneck, "limits", "the first to be full"),
        (byte_size(result.kv.bytes), "states" if result.kv.held_bytes else "keys and values",
         f"{fits} in {byte_size(result.kv.capacity_bytes)}"),
    ]  # fmt: skip


def _sweep(target: MachineTarget) -> ContextSweep:
    spec, model = target.specification, target.model
    work = token_work(model, spec.rows, spec.columns, sliding=False)
    contexts = _contexts(target, work)
    loads = [Load(context, spec.slots) for context in contexts]
    alone = tuple(simulate(spec, model, x, contention="none", sliding=False) for x in loads)
    shared, windows = (
        tuple(simulate(spec, model, x, sliding=on) for x in loads) for on in (False, True)
    )
    demands = []
    for context, run in zip(contexts, shared, strict=True):
        kv = kv_state(spec, work, model.embedding_weights, run.admitted, context)
        demands.append(token_demand(spec, work, context, kv))
    roofs = {
        name: tuple(1 / demand[name] for demand in demands)
        for name in demands[0]
        if all(demand[name] > 0 for demand in demands)
    }
    return ContextSweep(contexts, alone, shared, windows, roofs)


def _contexts(target: MachineTarget, work: TokenWork) -> tuple[int, ...]:
    """Contexts of which a sequence fits; of a machine that is designed for short ones, parts of its own too."""
    spec, table = target.specification, target.model.embedding_weights
    found = {c for c in CONTEXTS if kv_state(spec, work, table, 1, c).fits}
    if len(found) < 3:
        found |= {max(1, target.context // part) for part in (1, 2, 4, 8)}
    return tuple(sorted(found))


def _time(sweep: ContextSweep, result: Simulation) -> Section:
    def over(runs: tuple[Simulation, ...]) -> list[tuple[int, dict[str, float]]]:
        return [(c, dict(r.breakdown)) for c, r in zip(sweep.contexts, runs, strict=True)]

    charged = [(c, _charged(r)) for c, r in zip(sweep.contexts, sweep.shared, strict=True)]
    waits = sorted(result.waiting.items(), key=lambda item: -item[1])
    text = ["Shares of the time between two tokens of a sequence."]
    if waits and waits[0][1] > 0.01:
        text.append(
            "Of this run's time, "
            + ", ".join(f"{percent(s)} was waiting for the {n}" for n, s in waits if s > 0.01)
            + "."
        )
    return Section(
        "Where the time goes",
        text,
        figures=[
            ("Nothing shared", charts.breakdown_bars("Nothing shared", over(sweep.alone)),
             "The paper's view (its figure 14): one token's latencies added up, all layers see all "
             "positions."),
            ("Tokens compete", charts.breakdown_bars("Tokens compete", charged),
             "Event simulation with every slot taken. Waiting counts with what was waited for: for "
             "links as communication, for the vector unit as attention, for HBM as stall."),
        ],
    )  # fmt: skip


def _charged(run: Simulation) -> dict[str, float]:
    """A breakdown whose waiting is counted with what was waited for."""
    shares = {part: run.breakdown[part] for part in PARTS}
    for name, share in run.waiting.items():
        shares[WAITED_FOR[name]] += share
    return shares


def _roofs(sweep: ContextSweep) -> Section:
    lines = [
        ("nothing shared", "paper", [r.tokens_per_second for r in sweep.alone]),
        (
            "tokens compete, sliding windows",
            "windows",
            [r.tokens_per_second for r in sweep.windows],
        ),
        (
            "tokens compete, all layers see all positions",
            "now",
            [r.tokens_per_second for r in sweep.shared],
        ),
    ]
    return Section(
        "Roofs",
        [
            "A token holds each resource for some time; one over that time is the rate above which "
            "the resource cannot go. No schedule passes the lowest roof."
        ],
        figures=[("Rate over context", charts.roofline(sweep.roofs, sweep.contexts, lines),
          "Roofs are for layers that see all positions; windows raise those of vector unit, "
          "buffer and HBM.")],
    )  # fmt: skip


def _use(result: Simulation) -> Section:
    return Section(
        "Use",
        ["Share of the time that each resource is busy. Above 100 %: the rate cannot be had."],
        figures=[
            ("Resources", charts.use_bars(result.utilisation), f"Limit: {result.bottleneck}.")
        ],
    )


def _table(sweep: ContextSweep) -> Section:
    rows = []
    runs = zip(sweep.contexts, sweep.alone, sweep.shared, sweep.windows, strict=True)
    for context, alone, shared, windows in runs:
        rows.append(
            [
                binary(context), f"{alone.tokens_per_second:,.0f}",
                f"{shared.tokens_per_second:,.0f}", shared.bottleneck,
                f"{windows.tokens_per_second:,.0f}", windows.bottleneck,
                "yes" if shared.kv.fits else "no",
            ]
        )  # fmt: skip
    columns = ["context", "nothing shared", "tokens compete", "limit", "with windows", "limit",
               "KV fits"]  # fmt: skip
    return Section("Tokens/s over context", columns=columns, rows=rows)


def _system_sections(
    target: MachineTarget, load: Load, sliding: bool, result: Simulation
) -> list[Section]:
    """The die and the bill."""
    system, plan = target.system, _plan(target, load, sliding, result)
    subject = CostSubject(target.model, target.bits, target.counted, target.digits)
    blocks: dict[str, float] = {b.purpose: system.area_for(b.purpose) for b in system.block}
    chip = Section(
        "The chip",
        [f"{system.chips} of these, {system.die.process}."],
        figures=[("Floorplan to scale", charts.floorplan(blocks, RETICLE_MM),
                  "Areas are the system's; their places are ours.")],
    )  # fmt: skip
    return [chip, money_section(cost(system, subject, plan, trials=400))]


def _plan(target: MachineTarget, load: Load, sliding: bool, result: Simulation) -> OwnershipPlan:
    """One system that does what was simulated: a steady state by its closed form, requests as they went."""
    if load.requests is not None:
        return OwnershipPlan(tokens_per_second=result.processed_per_second)
    spec = target.specification
    return OwnershipPlan(
        users=load.batch, context=load.context, sliding=sliding, output_share=1.0,
        grid=(spec.rows, spec.columns), kv_bits=spec.kv_bits,
    )  # fmt: skip


def money_section(found: Costing) -> Section:
    v = found.value
    chips = int(v.chips)
    money = [
        ("masks", float(v.masks_musd)), ("design", float(v.design_musd)),
        ("chips and memory", float(v.system_musd)),
        ("infrastructure", float(v.owned.infrastructure_musd)),
        ("electricity", float(v.owned.electricity_musd)),
        ("maintenance", float(v.owned.maintenance_musd)),
    ]  # fmt: skip
    carbon = [
        ("operation", float(v.owned.operation_t)), ("modules", float(v.owned.modules_t)),
        ("masks", float(v.masks_t)),
    ]  # fmt: skip
    tco, co2 = found.bands["tco_musd"], found.bands["tco2e_with_masks"]
    per_token = found.bands["usd_per_mtoken"]
    return Section(
        "Money and carbon",
        [
            f"One system of {chips} chip{'s' * (chips != 1)} over {float(v.years):g} years at {found.rate.tokens_per_second:,.0f} tokens/s ({found.rate.source}), always busy: "
            f"${per_token.low:.3g} to ${per_token.high:.3g} for a million processed tokens.",
        ],
        figures=[
            ("Total cost of ownership",
             charts.band_bars("TCO", "M$", money, tco.low, tco.high),
             "Bar: the middle of the source's prices. Whisker: 5 to 95 % of a Monte Carlo over "
             "every doubt."),
            ("Carbon", charts.band_bars("Carbon", "t CO2e", carbon, co2.low, co2.high),
             "Operation, modules, masks."),
        ],
    )  # fmt: skip
