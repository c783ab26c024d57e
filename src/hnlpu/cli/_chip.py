"""`hnlpu chip`: a build as one whole chip in SystemVerilog, run against the emulator."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import BuildArgument, Json
from hnlpu.cli._output import out, print_json, waiting


@app.command()
def chip(
    directory: BuildArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to make (default: DIR.chip).")
    ] = None,
    sequences: Annotated[
        int, typer.Option(min=1, max=64, help="Sequences that are in flight at once.")
    ] = 4,
    context: Annotated[
        int | None, typer.Option(help="Positions of a sequence (default: the model's).")
    ] = None,
    lanes: Annotated[
        int | None, typer.Option(help="Lanes of the vector unit (default: up to 64).")
    ] = None,
    chips: Annotated[
        int | None,
        typer.Option(min=1, help="Chips that the build must be placed on (default: as it is)."),
    ] = None,
    link_lanes: Annotated[
        int | None,
        typer.Option(help="Of several chips: lanes of a link in each direction (default: 16)."),
    ] = None,
    link_latency: Annotated[
        int | None,
        typer.Option(help="Of several chips: cycles that a link's wire takes (default: 4)."),
    ] = None,
    link_stalls: Annotated[
        int | None,
        typer.Option(
            help="Of several chips: percent of cycles in which a link's wire refuses a symbol (default: 0)."
        ),
    ] = None,
    bit_errors: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10**9,
            help="Of several chips: bits in 10^9 that links invert in simulation (default: 0).",
        ),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Run the prompts, and hold every token to the emulator's."),
    ] = False,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="Text to go on with; may be repeated.")
    ] = None,
    signals: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", help="Signals to answer, as of `hnlpu run`."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="New tokens a prompt.")] = 64,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="0: the likeliest token; higher: more varied.")
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first prompt; the next has the next.")
    ] = 0,
    stalls: Annotated[
        list[int] | None,
        typer.Option(
            "--stalls",
            min=0,
            max=99,
            help="Percent of cycles without in_valid and out_ready; may be repeated (default: 0).",
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="With --simulate: waveforms of the last run, as VCD."),
    ] = None,
    synth: Annotated[
        bool,
        typer.Option(
            "--synth",
            help="Count transistors and memory around the arrays with Yosys, unit by unit.",
        ),
    ] = False,
    predict: Annotated[
        bool,
        typer.Option(
            "--predict",
            help="Of text: say the cycles of a token for several contexts and users, write nothing.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Write a build as one chip in SystemVerilog, or as several with links: tokens or signals in and out."""
    from hnlpu._paths import absolute
    from hnlpu.errors import InvalidInput, OutputExists
    from hnlpu.insight.verify import check_chip, check_signal_chip, expect_prompts
    from hnlpu.run.emulate import hardwired
    from hnlpu.silicon.hardwire import open_build
    from hnlpu.silicon.rtl import require_simulator, require_yosys
    from hnlpu.silicon.rtl.chip import Wires, build_chip, chip_shape, link_of, write_chip

    if simulate and not prompt and signals is None:
        raise InvalidInput(
            "--simulate needs something to go on with; give --prompt TEXT, or --input FILE of signals"
        )
    if (prompt or signals is not None) and not simulate:
        raise InvalidInput("--prompt and --input are for --simulate; give both")
    if prompt and signals is not None:
        raise InvalidInput("--prompt is for models of text, --input for signals; give one")
    if stalls and not simulate:
        raise InvalidInput("--stalls is for --simulate; give both")
    if trace and not simulate:
        raise InvalidInput("--trace writes what --simulate runs; give both")
    if trace and trace.exists():
        raise OutputExists(f"{trace}: exists already; give another name to --trace")
    if simulate:
        require_simulator()
    if synth:
        require_yosys()
    if predict and (simulate or synth or output):
        raise InvalidInput("--predict writes nothing; leave --simulate, --synth and -o out")
    build = open_build(directory)
    shape = chip_shape(build, sequences=sequences, context=context, lanes=lanes, chips=chips)
    target = absolute(output or Path(f"{build.directory}.chip"))
    link = wires = None
    if shape.chips > 1:
        if trace or synth:
            raise InvalidInput("--trace and --synth are for one chip; build with `chips` 1")
        wires = Wires(
            4 if link_latency is None else link_latency, link_stalls or 0, bit_errors or 0
        )
        link = link_of(shape, 16 if link_lanes is None else link_lanes, wires.latency, wires.stall)
    elif any(one is not None for one in (link_lanes, link_latency, link_stalls, bit_errors)):
        raise InvalidInput(f"{build.directory}: is one chip, and has no links; build with `chips`")
    if predict:
        _predict(build, shape, link, wires, json=json)
        return
    given = _sequences(build, shape, signals) if simulate else []
    if simulate and not given:  # before minutes of Verilator, not behind them
        expect_prompts(
            hardwired(build, numerics="chip"), shape, prompt or [],
            max_tokens=max_tokens, temperature=temperature, seed=seed,
        )  # fmt: skip
    with waiting("writing"):
        written = write_chip(build, target, shape, trace=trace is not None, link=link)
    facts: dict[str, Any] = {
        "directory": str(target), **written.__dict__, "lanes": shape.width,
        "sequences": shape.sequences, "context": shape.context, "chips": shape.chips,
    }  # fmt: skip
    if link is not None:
        facts["link"] = link.__dict__
    if not json:
        of_chips = "" if shape.chips == 1 else f" of {shape.chips} chips"
        out.print(
            f"{target}: {written.weights:,} weights in {written.arrays} arrays{of_chips}, "
            f"{written.instructions} instructions, {written.stored_bits:,} stored bits"
        )
        if link is not None:
            out.print(
                f"links of {link.lanes} lanes each way, {link.bits} bits a word, {link.data_symbols} "
                f"cycles a frame, given up after {link.given_up_after:,} cycles"
            )
    if synth:
        facts["units"] = _synthesize(target, build.manifest.technology.silicon, json=json)
    if not simulate:
        if json:
            print_json(facts)
        return
    with waiting("compiling the chip with Verilator"):
        facts["build_seconds"] = round(build_chip(target), 1)
    began = time.monotonic()
    if given:
        with waiting("simulating"):
            answered = check_signal_chip(
                build, target, shape, given, stalls=stalls or [0],
                trace=absolute(trace) if trace else None,
            )  # fmt: skip
        facts["seconds"] = round(time.monotonic() - began, 1)
        _tell_signals(answered, shape, facts, json=json)
        return
    with waiting("simulating"):
        found = check_chip(
            build, target, shape, prompt or [], max_tokens=max_tokens, temperature=temperature,
            seed=seed, stalls=stalls or [0], trace=absolute(trace) if trace else None, wires=wires,
        )  # fmt: skip
    facts |= {
        "seconds": round(time.monotonic() - began, 1), "fault": found.fault,
        "runs": [
            {"stalls": stall, "cycles": run.cycles, "seconds": run.seconds,
             "tokens": sum(map(len, run.tokens)), "flipped": run.flipped, "again": run.again}
            for stall, run in found.runs
        ],
        "answers": [{"prompt": a.prompt, "tokens": a.found[0], "equal": a.equal} for a in found.answers],
    }  # fmt: skip
    if json:
        print_json(facts)
    else:
        _tell(found, build)
    if found.fault:
        raise typer.Exit(1)


def _predict(build: Any, shape: Any, link: Any, wires: Any, *, json: bool) -> None:
    """Cycles of a token by users and cached positions, computed from the program and the links."""
    from rich.table import Table

    from hnlpu.errors import InvalidInput
    from hnlpu.silicon.rtl.chip import machine_token_cycles, token_cycles

    if wires is not None and (wires.stall or wires.errors):
        raise InvalidInput(
            "--predict counts links that refuse and invert nothing; leave --link-stalls and --bit-errors out"
        )
    made = 4
    room = shape.context - made
    contexts = sorted({n for n in (1, room // 4, room // 2, room) if n >= 1})
    counts = sorted({1, shape.sequences // 2 or 1, shape.sequences})
    with waiting("counting cycles"):
        rows = []
        for users in counts:
            for positions in contexts:
                load = (users, positions, made)
                if link is None:
                    cycles = token_cycles(build, shape, *load)
                else:
                    cycles = machine_token_cycles(build, shape, link, wires.latency, *load)
                rows.append(
                    {
                        "users": users,
                        "positions": positions,
                        "cycles_per_token": cycles / users,
                        "cycles_between_tokens_of_a_user": cycles,
                    }
                )
    if json:
        print_json({"kind": "computed", "sequences": shape.sequences, "rows": rows})
        return
    table = Table(
        "users", *(f"{n:,} positions" for n in contexts), title="cycles a token, of all users"
    )
    for users in counts:
        table.add_row(
            f"{users}",
            *(f"{row['cycles_per_token']:,.0f}" for row in rows if row["users"] == users),
        )
    out.print(table)
    links = "" if link is None else f", links of {link.lanes} lanes and {wires.latency} cycles"
    out.print(
        f"computed from the program{links}, {shape.sequences} sequences in flight; the likeliest token each time"
    )


def _synthesize(target: Path, technology: Any, *, json: bool) -> list[dict[str, Any]]:
    """Count the units of the chip's core."""
    from hnlpu.silicon.rtl.chip import synthesize_chip

    with waiting("synthesising the chip's core"):
        found = synthesize_chip(target, technology)
    if not json:
        for unit in found:
            out.print(
                f"{unit.name:<16} {unit.instances:>4} x, {unit.transistors:>11,.0f} transistors, "
                f"{unit.multipliers:>4} multipliers, {unit.flip_flops:>7,} flip-flops, "
                f"{unit.memory_bits:>10,} bits of memory"
            )
        total = sum(unit.transistors for unit in found)
        out.print(f"all but arrays and stored words: {total:,.0f} transistors")
    return [vars(unit) for unit in found]


def _tell(found: Any, build: Any) -> None:
    from hnlpu.run.emulate import hardwired

    model = hardwired(build)
    for answer in found.answers:
        asked, made = list(answer.prompt), list(answer.found[0])
        if model.tokenizer.usable:
            line = f"{model.tokenizer.decode(asked)!r} -> {model.tokenizer.decode(made)!r}"
        else:
            line = f"{asked} -> {made}"
        out.print(line, markup=False, highlight=False)
    for stall, run in found.runs:
        tokens = sum(map(len, run.tokens))
        out.print(
            f"with {stall} % stalls: {tokens} tokens in {run.cycles:,} cycles, "
            f"{run.cycles / max(1, run.seconds):,.0f} cycles/s"
            + (
                f"; {run.flipped} bits inverted, frames sent anew {run.again} times"
                * bool(run.flipped)
            )
        )
    if found.fault:
        out.print(f"failed  {found.fault}", markup=False)
    else:
        out.print("ok      every token is the emulator's")


def _sequences(build: Any, shape: Any, signals: Path | None) -> list[Any]:
    """Signals of a file for a chip of signals, none for one of text; raises InvalidInput."""
    from hnlpu.cli._signals import read_signals
    from hnlpu.errors import InvalidInput
    from hnlpu.insight.verify import expect_sequences
    from hnlpu.run.emulate import hardwired_signals

    if (shape.task is None) != (signals is None):
        takes = "tokens; give --prompt" if shape.task is None else "signals; give --input"
        raise InvalidInput(f"{build.directory}: its chip takes {takes}")
    if signals is None:
        return []
    model = hardwired_signals(build, numerics="chip")
    given = [x for one in read_signals(signals, model).sequences for x in one.values()]
    expect_sequences(shape, given)
    return given


def _tell_signals(found: Any, shape: Any, facts: dict[str, Any], *, json: bool) -> None:
    """What a simulated chip of signals answered; raises Exit where it is not the emulator's."""
    facts |= {
        "task": shape.task, "fault": found.fault,
        "runs": [
            {"stalls": stall, "cycles": run.cycles, "seconds": run.seconds,
             "numbers": sum(map(len, run.tokens))}
            for stall, run in found.runs
        ],
        "answers": [list(answer) for answer in found.found[0]],
    }  # fmt: skip
    if json:
        print_json(facts)
    else:
        for stall, run in found.runs:
            out.print(
                f"with {stall} % stalls: {len(run.tokens):,} answers in {run.cycles:,} cycles, "
                f"{run.cycles / max(1, run.seconds):,.0f} cycles/s"
            )
        if found.fault:
            out.print(f"failed  {found.fault}", markup=False)
        else:
            out.print("ok      every answer is the emulator's, number for number")
    if found.fault:
        raise typer.Exit(1)
