"""Tables and pictures of docs/cost.md and docs/audit.md, from the catalog and the formulas."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from hnlpu.system.audit import audit
from hnlpu.system.catalog import ModelShape, load_model, load_system, model_names
from hnlpu.system.cost import (
    Assumptions,
    Bar,
    BuyersMap,
    Demand,
    assume,
    bands,
    bars_svg,
    buyers_map,
    buyers_svg,
    check_roma,
    check_taalas,
    chips_needed,
    compare,
    end,
    energy_rows,
    estimate,
    mask_bill,
    mask_plans,
    plan_estimate,
    tornado,
    tornado_svg,
    weight_bits,
)
from hnlpu.system.machine import ClosedForm, closed_form, machine_target

SYSTEM, MODEL = load_system("hnlpu-asplos26"), load_model("gpt-oss-120b")
RATE = SYSTEM.rate[0].tokens.value
CONTEXT = 2048
OUTPUT_SHARE = 0.5
VOLUMES = np.geomspace(1e10, 1e14, 41)
LIVES = np.arange(3.0, 37.0)
READ_LIVES = (6.0, 12.0, 18.0, 24.0, 36.0)


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _head(*names: str) -> list[str]:
    return [_row(*names), _row(*["---"] * len(names))]


def _n(value: float, figures: int = 3) -> str:
    if value >= 10**figures:
        return f"{value:,.0f}"
    text = f"{value:.{figures}g}"
    return f"{float(text):g}" if "e" in text else text


def cost_tables() -> dict[str, list[str]]:
    """Markers of docs/cost.md and what stands between them."""
    return {
        "masks": _masks(),
        "exposures": _exposures(),
        "models": _models(),
        "doubts": _doubts(),
        "baselines": _baselines(),
        "contexts": _contexts(),
        "checks": _checks(),
        "energy": _energy(),
        "buyers": _buyers(),
    }


def _masks() -> list[str]:
    assert SYSTEM.prices
    lines = _head("masks", "exposure", "number", "differ between chips", "M$, low to high")
    lines += [
        _row(p.name, p.exposure, p.masks, "yes" if p.programmable else "no",
             f"{_n(p.low_musd)} to {_n(p.high_musd)}")
        for p in mask_bill(SYSTEM.prices.masks)
    ]  # fmt: skip
    return lines


def _exposures() -> list[str]:
    """Masks as stated and as scanners print them, and what the paper's machine costs with each."""
    names = {
        "stated": "the paper's ten, as published",
        "exposures": "the same layers, exposures counted",
        "taps": "taps", "regions": "regions",
    }  # fmt: skip
    lines = _head(
        "masks",
        "differ between chips",
        "all masks, M$",
        "masks and design, M$",
        "re-spin, M$",
        "which",
    )
    a = assume(SYSTEM)
    base = estimate(a, SYSTEM.chips)
    for plan in mask_plans(SYSTEM, MODEL, SYSTEM.chips):
        e = plan_estimate(plan, SYSTEM, a, base)
        low, value, high = plan.programmable
        count = f"{value} ({low} to {high})" if low < high else str(value)
        prices = (_n(float(x)) for x in (e.masks_musd, e.nre_musd, e.respin_musd))
        lines.append(_row(names[plan.name], count, *prices, plan.what))
    return lines


def _models() -> list[str]:
    lines = _head(
        "model", "weights, G", "bits, Gbit", "chips", "with two digits", "with one", "masks and design, M$",
        "re-spin, M$", "tokens/s", "what limits them", "$ a million tokens",
    )  # fmt: skip
    low, value, high = (assume(SYSTEM, end(e)) for e in ("low", "value", "high"))
    for name in model_names():
        model = load_model(name)
        chips = [
            int(chips_needed(weight_bits(model, way), value))
            for way in ("stored", "two-digits", "one-digit")
        ]
        bound = _bound(model, CONTEXT)
        chips[0] = math.prod(bound.grid)  # as many as hold it, in whole rows and columns
        cheap, middle, dear = (estimate(a, chips[0]) for a in (low, value, high))
        per_token = [
            float(e.usd_per_mtoken(bound.tokens_per_second)) for e in (cheap, middle, dear)
        ]
        lines.append(
            _row(
                name, _n(model.hardwired_weights / 1e9), _n(model.hardwired_bits() / 1e9), *chips,
                f"{_n(float(cheap.nre_musd))} to {_n(float(dear.nre_musd))}",
                f"{_n(float(cheap.respin_musd))} to {_n(float(dear.respin_musd))}",
                f"{bound.tokens_per_second:,.0f}", bound.resource,
                f"{_n(per_token[0])} to {_n(per_token[2])}",
            )
        )  # fmt: skip
    return lines


def _bound(model: ModelShape, context: int) -> ClosedForm:
    """The rate where every token is generated and windows are used."""
    target = machine_target(SYSTEM, model, model.hardwired_bits())
    return closed_form(target.specification, model, context)


def _outcome(a: Assumptions) -> dict[str, object]:
    e = estimate(a, SYSTEM.chips, 1, 2)
    return {
        "masks and design, M$": e.nre_musd,
        "three years, two re-spins, M$": e.tco_musd,
        "$ a million tokens": e.usd_per_mtoken(RATE),
        "tCO2e": e.tco2e,
        "tCO2e, masks too": e.tco2e_with_masks,
    }


def _doubts() -> list[str]:
    ends = [_outcome(assume(SYSTEM, end(e))) for e in ("low", "high")]
    lines = _head("", "source's low", "source's high", "5 %", "median", "95 %")
    for name, band in bands(SYSTEM, _outcome, trials=10_000).items():
        lines.append(
            _row(
                name,
                *(_n(float(e[name])) for e in ends),
                _n(band.low),
                _n(band.median),
                _n(band.high),
            )
        )
    return lines


def _baselines() -> list[str]:
    lines = _head(
        "H100 rate", "output a GPU", "processed a GPU", "GPUs for 1 system, as the paper counts",
        "GPUs, output for output", "1 system: cost ratio", "50 systems, 2 re-spins: cost ratio",
        "$ a million output tokens", "energy ratio", "carbon ratio",
    )  # fmt: skip
    h100 = load_system("h100")
    one, many = (
        [compare(estimate(assume(SYSTEM, end(e)), SYSTEM.chips, n, k), RATE, h100, OUTPUT_SHARE)
         for e in ("high", "low")]
        for n, k in ((1, 0), (50, 2))
    )  # fmt: skip
    for i, row in enumerate(one[0]):
        ratios = [
            f"{_n(group[0][i].tco_ratio)} to {_n(group[1][i].tco_ratio)}" for group in (one, many)
        ]
        lines.append(
            _row(
                row.rate.name, _n(row.rate.output), _n(row.rate.processed), _n(row.gpus_as_published),
                _n(row.gpus), *ratios, _n(row.usd_per_mtoken), _n(row.energy_ratio),
                _n(one[0][i].carbon_ratio),
            )
        )  # fmt: skip
    return lines


def _contexts() -> list[str]:
    lines = _head(
        "positions", "tokens/s at most", "what limits them", "$ a million tokens, 1 system",
        "50 systems, 2 re-spins", "J a token",
    )  # fmt: skip
    one, many = (estimate(assume(SYSTEM), SYSTEM.chips, n, k) for n, k in ((1, 0), (50, 2)))
    for context in (2048, 8192, 32_768, 131_072):
        bound = _bound(MODEL, context)
        dollars = [_n(float(e.usd_per_mtoken(bound.tokens_per_second))) for e in (one, many)]
        joule = SYSTEM.power.system.value / bound.tokens_per_second
        lines.append(
            _row(
                f"{context:,}",
                f"{bound.tokens_per_second:,.0f}",
                bound.resource,
                *dollars,
                _n(joule),
            )
        )
    return lines


def _checks() -> list[str]:
    llama = load_model("llama-3.1-8b")
    lines = _head("chip", "what", "predicted", "published", "published / predicted", "why")
    for c in (
        *check_taalas(SYSTEM, load_system("taalas-hc1"), llama, MODEL),
        *check_roma(SYSTEM, load_system("roma"), llama, MODEL),
    ):
        predicted, published = (
            _n(low) if low == high else f"{_n(low)} to {_n(high)}"
            for low, high in ((c.low, c.high), (c.published_low, c.published_high))
        )
        mark = "" if c.holds else " (outside)"
        lines.append(
            _row(
                c.system, f"{c.what}, {c.unit}", predicted, published + mark, _n(c.factor, 2), c.why
            )
        )
    return lines


def _energy() -> list[str]:
    lines = _head("system", "J a token", "how")
    others = [load_system(name) for name in ("h100", "wse-3", "spinnaker2")]
    for row in energy_rows(MODEL, SYSTEM, others):
        joule = (
            _n(row.joule)
            if row.low == row.high
            else f"{_n(row.joule)} ({_n(row.low)} to {_n(row.high)})"
        )
        lines.append(_row(row.system, joule, row.how))
    claim = load_system("spinnaker2").claim[0]
    return [
        *lines,
        "",
        f"Published for SpiNNaker 2: {claim.name}, {claim.low:g} to {claim.high:g} times ({claim.source}).",
    ]


def _demand(gpu_rate: float) -> Demand:
    rent = load_system("h100").rent
    assert rent
    return Demand(RATE * OUTPUT_SHARE, gpu_rate, rent.value)


def _map(gpu_rate: float, which: str = "value", lives: object = LIVES) -> BuyersMap:
    return buyers_map(
        SYSTEM, SYSTEM.chips, _demand(gpu_rate), np.geomspace(1e9, 1e15, 601),
        np.asarray(lives, float), which,
    )  # fmt: skip


def _buyers() -> list[str]:
    lines = _head("rented H100 at", *(f"{life:g} months" for life in READ_LIVES))
    for rate in load_system("h100").rate:
        low, high = (
            _map(rate.tokens.value, which, READ_LIVES).break_even() for which in ("low", "high")
        )
        cells = [
            "never" if np.isinf(b) else f"{_n(a / 1e9, 2)} to {_n(b / 1e9, 2)}"
            for a, b in zip(low, high, strict=True)
        ]
        lines.append(_row(f"{_n(rate.tokens.value)} tokens/s", *cells))
    return lines


def audit_tables() -> dict[str, list[str]]:
    """Markers of docs/audit.md and what stands between them."""
    result = audit(SYSTEM, MODEL, CONTEXT)
    count = ", ".join(f"{n} {verdict}" for verdict, n in result.count().items())
    lines = [f"{len(result.claims)} claims: {count}."]
    topic = ""
    for c in result.claims:
        if c.topic != topic:
            topic = c.topic
            lines += ["", f"### {topic.capitalize()}", ""]
            lines += _head("claim", "computed", "claimed", "unit", "margin", "verdict", "how")
        computed = _n(c.computed)
        if c.low < c.high:
            computed += f" ({_n(c.low)} to {_n(c.high)})"
        how = c.how + (f". *{c.remark}*" if c.remark else "")
        margin = f"x {_n(c.margin + 1)}" if c.margin >= 4 else f"{c.margin:+.0%}"
        lines.append(
            _row(c.name, computed, _n(c.claimed), c.unit, margin.replace("-", "−"), c.verdict, how)
        )
    wanted = _head("for 249,960 tokens/s", "wanted", "there", "unit", "")
    wanted += [
        _row(c.what, _n(c.wanted), _n(c.there), c.unit, "" if c.met else "**missing**")
        for c in result.conditions
    ]
    bounds = _head("positions", "tokens/s at most", "with sliding windows", "what limits")
    windows = audit(SYSTEM, MODEL, CONTEXT, sliding=True)
    bounds += [
        _row(f"{a.context:,}", f"{a.tokens_per_second:,.0f}", f"{b.tokens_per_second:,.0f}",
             a.resource if a.resource == b.resource else f"{a.resource}; {b.resource}")
        for a, b in zip(result.bounds, windows.bounds, strict=True)
    ]  # fmt: skip
    return {"claims": lines, "conditions": wanted, "bounds": bounds}


def pictures(folder: Path) -> dict[Path, str]:
    """The tornado chart and the buyers' map."""
    name = "three years, two re-spins, M$"
    centre = float(_outcome(assume(SYSTEM))[name])
    chart = tornado_svg(
        tornado(SYSTEM, _outcome, name)[:10], centre,
        "What moves the cost of one system over three years", "M$, two re-spins",
    )  # fmt: skip
    fair = load_system("h100").rate[2]
    drawn = buyers_map(SYSTEM, SYSTEM.chips, _demand(fair.tokens.value), VOLUMES, LIVES)
    rent = load_system("h100").rent
    assert rent
    buyers = buyers_svg(
        drawn, "Where hardwiring gpt-oss 120B pays against renting H100s",
        f"three years; a GPU makes {fair.tokens.value:,.0f} tokens/s for ${rent.value:g} an hour; both "
        "work half of the time",
    )  # fmt: skip
    return {
        folder / "cost-tornado.svg": chart,
        folder / "buyers-map.svg": buyers,
        folder / "cost-bars.svg": _bars(
            "cost per million output tokens", "$ a million output tokens"
        ),
        folder / "carbon-bars.svg": _bars("carbon of three years", "tCO2e"),
    }


def _bars(title: str, unit: str) -> str:
    """Systems of the paper's machine beside H100s that make the same output."""
    carbon = unit == "tCO2e"
    name = "tCO2e, masks too" if carbon else "$ a million tokens"
    factor = 1.0 if carbon else 1 / OUTPUT_SHARE
    bars = []
    for systems, respins in ((1, 0), (50, 2)):

        def outcome(a: Assumptions, n: int = systems, k: int = respins) -> dict[str, object]:
            e = estimate(a, SYSTEM.chips, n, k)
            each = e.tco2e_with_masks / n if carbon else e.usd_per_mtoken(RATE)
            return {name: each * factor}

        band = bands(SYSTEM, outcome, trials=10_000)[name]
        middle = float(outcome(assume(SYSTEM))[name])
        words = f"{systems} system{'s' * (systems > 1)}, {respins} re-spins"
        bars.append(
            Bar(words + (", each" if carbon and systems > 1 else ""), band.low, middle, band.high)
        )
    for row in compare(
        estimate(assume(SYSTEM), SYSTEM.chips), RATE, load_system("h100"), OUTPUT_SHARE
    ):
        value = row.tco2e if carbon else row.usd_per_mtoken
        bars.append(
            Bar(f"{row.gpus:,.0f} H100 at {_n(row.rate.output)}", value, value, value, rival=True)
        )
    return bars_svg(bars, f"gpt-oss 120B: {title}", unit)
