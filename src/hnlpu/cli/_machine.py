"""`hnlpu simulate`: a model on a machine, in the paper's view or with everything shared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hnlpu.cli._app import app
from hnlpu.cli._cost import (
    ContextOption,
    GridOption,
    ModelOption,
    SlidingOption,
    SubjectArgument,
    SystemOption,
)
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json, waiting
from hnlpu.cli._schema import kinds_line
from hnlpu.errors import InvalidInput

CONTENTIONS = ("none", "full")


@app.command()
def simulate(
    target: SubjectArgument,
    model: ModelOption = None,
    system: SystemOption = None,
    context: ContextOption = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Sequences at once (default: the design's users; else one for each slot)."
        ),
    ] = None,
    prefill: Annotated[int | None, typer.Option(help="Tokens of each prompt.")] = None,
    decode: Annotated[int | None, typer.Option(help="Tokens of each answer.")] = None,
    requests: Annotated[
        int | None, typer.Option(help="Requests (default: as many as the batch).")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second, at random (default: all at once).")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Requests from a file: our CSV, or a public trace's.")
    ] = None,
    contention: Annotated[
        str, typer.Option(help="full: tokens compete; none: the paper's sum of latencies.")
    ] = "full",
    kv_bits: Annotated[int | None, typer.Option(help="Bits of a cached value: 16, 8, 4.")] = None,
    sliding: SlidingOption = None,
    grid: GridOption = None,
    tokens: Annotated[int | None, typer.Option(help="Simulate at most so many tokens.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of arrivals and choices.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Also write a page about it.")] = None,
    json: Json = False,
) -> None:
    """How fast a model runs on a machine, what it uses and what limits it."""
    from hnlpu.system.design import open_target
    from hnlpu.system.machine import Load, parse_grid
    from hnlpu.system.machine import simulate as do_simulate

    if contention not in CONTENTIONS:
        raise InvalidInput(f"--contention {contention!r}: choose from {', '.join(CONTENTIONS)}")
    if tokens is not None and tokens < 1:
        raise InvalidInput(f"--tokens {tokens}: give at least 1")
    if report is not None:
        from hnlpu.insight.report import check_page

        check_page(report)
    opened = open_target(
        target,
        model,
        system=system,
        kv_bits=kv_bits,
        grid=parse_grid(grid) if grid is not None else None,
    )
    users = opened.users
    load = Load(
        opened.context if context is None else context,
        users if batch is None else batch,
        _requests(
            opened.model.positions, batch or users, prefill, decode, requests, rate, trace, seed
        ),
    )  # fmt: skip
    windows = opened.windows if sliding is None else sliding
    with waiting("simulating"):
        result = do_simulate(
            opened.specification, opened.model, load,
            contention="none" if contention == "none" else "full",
            sliding=windows, seed=seed, tokens=tokens,
        )  # fmt: skip
    facts = _facts(opened, load, windows, result) | _trace_facts(load.requests)
    if report is not None:
        from hnlpu.insight.report import machine_report

        with waiting("drawing"):
            facts["report"] = str(machine_report(opened, load, windows, result, report))
    if json:
        print_json(facts)
    else:
        _print(facts)
        out.print(kinds_line("simulate"))


def _requests(
    positions: int, batch: int, prefill: int | None, decode: int | None, count: int | None,
    rate: float | None, trace: Path | None, seed: int,
) -> Any:  # fmt: skip
    """The requests that options describe; None for a steady state."""
    from hnlpu.system.machine import poisson_requests, read_trace, uniform_requests

    if trace is not None:
        if (prefill, decode, count, rate) != (None, None, None, None):
            raise InvalidInput(
                "--trace says when requests come and how long they are; "
                "leave --prefill, --decode, --requests and --rate out"
            )
        return read_trace(trace).within(positions)
    if prefill is None and decode is None:
        if count is not None or rate is not None:
            raise InvalidInput("--requests and --rate need --prefill N and --decode M")
        return None
    if prefill is None or decode is None:
        raise InvalidInput("give --prefill N and --decode M together")
    if rate is not None:
        return poisson_requests(batch if count is None else count, rate, prefill, decode, seed)
    return uniform_requests(batch if count is None else count, prefill, decode)


def _facts(opened: Any, load: Any, windows: bool, result: Any) -> dict[str, Any]:
    """The document that --json prints; times in us."""
    spec = opened.specification
    return {
        "target": opened.name, "model": opened.model.name, "contention": result.contention,
        "chips": spec.chips, "grid": [spec.rows, spec.columns], "slots": spec.slots,
        "context": None if load.requests is not None else load.context,
        "batch": result.batch, "admitted": result.admitted, "in_flight": result.in_flight,
        "sliding": windows, "kv_bits": spec.kv_bits,
        "tokens_per_second": result.tokens_per_second,
        "processed_tokens_per_second": result.processed_per_second,
        "tokens_per_second_per_user": result.tokens_per_second_per_user,
        "bound_tokens_per_second": result.bound,
        "latency_us": result.latency * 1e6,
        "latency_p50_us": result.latency_p50 * 1e6, "latency_p99_us": result.latency_p99 * 1e6,
        "unloaded_latency_us": result.unloaded_latency * 1e6,
        "interval_us": result.interval * 1e6,
        "ttft_us": result.ttft * 1e6, "ttft_p99_us": result.ttft_p99 * 1e6,
        "breakdown": dict(result.breakdown), "waiting": dict(result.waiting),
        "utilisation": dict(result.utilisation), "bottleneck": result.bottleneck,
        "kv_bytes": result.kv.bytes, "kv_capacity_bytes": result.kv.capacity_bytes,
        "kv_in_hbm": max(result.kv.spilled_full, result.kv.spilled_window),
        "fits": result.kv.fits,
        "tokens_simulated": result.tokens_simulated, "seconds_simulated": result.span,
    } | _state_facts(opened, result)  # fmt: skip


def _state_facts(opened: Any, result: Any) -> dict[str, Any]:
    """States of fixed size and serial regions; nothing where a model has none."""
    from hnlpu.system.machine import state_facts

    found = state_facts(opened.model, result)
    if found is None:
        return {}
    return {
        "state": {
            "bytes_per_sequence": found.bytes, "chip_bytes_per_sequence": found.chip_bytes,
            "serial_region_us": found.serial * 1e6,
            "prompt_tokens_per_second_at_most": found.prompt_rate,
        }
    }  # fmt: skip


def _trace_facts(requests: Any) -> dict[str, Any]:
    """What of a trace is simulated; nothing where there is none."""
    if requests is None or requests.trace is None:
        return {}
    found = requests.trace
    return {
        "trace": {
            "kind": found.layout, "rows": found.rows, "requests": len(requests),
            "left_out_empty": found.empty, "left_out_too_long": found.too_long,
            "put_in_order": found.late, "unused_columns": list(found.unused),
            "starts_at_s": found.start,
        }
    }  # fmt: skip


def _print_trace(facts: dict[str, Any]) -> None:
    found = facts["trace"]
    said = [f"trace ({found['kind']}): {found['requests']:,} of {found['rows']:,} requests"]
    for key, what in (
        ("left_out_empty", "without prompt or answer left out"),
        ("left_out_too_long", "longer than the model's positions left out"),
        ("put_in_order", "put in order of arrival"),
    ):
        if found[key]:
            said.append(f"{found[key]:,} {what}")
    out.print("; ".join(said))


def _print(facts: dict[str, Any]) -> None:
    view = "tokens compete" if facts["contention"] == "full" else "nothing shared"
    where = f"context {facts['context']:,}" if facts["context"] else "requests"
    windows = "with" if facts["sliding"] else "without"
    chips = f"{facts['chips']} chip{'s' * (facts['chips'] != 1)}"
    out.print(
        f"{facts['model']} on {facts['target']}: {chips}, {where}, "
        f"{facts['kv_bits']}-bit KV, {windows} sliding windows, {view}"
    )
    if "trace" in facts:
        _print_trace(facts)
    if facts["bound_tokens_per_second"] and view == "tokens compete":
        out.print(
            f"no schedule exceeds {facts['bound_tokens_per_second']:,.0f} tokens/s (computed)"
        )
    out.print(
        f"{facts['tokens_per_second']:,.0f} tokens/s simulated "
        f"({facts['tokens_per_second_per_user']:,.1f} for each of {facts['admitted']:,} users; "
        f"{facts['processed_tokens_per_second']:,.0f} with prompts), "
        f"latency {facts['latency_us']:,.1f} us, first token {facts['ttft_us']:,.0f} us"
    )
    table = Table("time", "share", "resource", "use")
    shares, use = list(facts["breakdown"].items()), list(facts["utilisation"].items())
    for i in range(max(len(shares), len(use))):
        left = (shares[i][0], f"{100 * shares[i][1]:.1f} %") if i < len(shares) else ("", "")
        right = (use[i][0], f"{100 * use[i][1]:.1f} %") if i < len(use) else ("", "")
        table.add_row(*left, *right)
    out.print(table)
    fit = "fit in" if facts["fits"] else "DO NOT FIT in"
    what = "states" if "state" in facts else "keys and values"
    out.print(
        f"bottleneck: {facts['bottleneck']}; {what} {_size(facts['kv_bytes'])} "
        f"{fit} {_size(facts['kv_capacity_bytes'])}"
    )
    if "state" in facts:
        _print_state(facts["state"])


def _size(size: float) -> str:
    """Bytes in the unit that leaves figures before the point."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size:,.0f} bytes"


def _print_state(found: dict[str, Any]) -> None:
    said = f"states of fixed size: {found['bytes_per_sequence']:,} bytes of each sequence, on chip"
    if rate := found["prompt_tokens_per_second_at_most"]:
        said += (
            f"; a prompt passes a serial region of {found['serial_region_us']:,.3g} us token by token, "
            f"at most {rate:,.0f} tokens/s"
        )
    out.print(said)
