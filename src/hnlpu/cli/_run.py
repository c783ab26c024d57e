"""`hnlpu run`: signals in, answers out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import (
    FamilyOption,
    FloatActivations,
    Json,
    ModelArgument,
    TaskOption,
    chosen_family,
    chosen_numerics,
    chosen_task,
)
from hnlpu.cli._output import out, print_json, waiting
from hnlpu.errors import InvalidInput

if TYPE_CHECKING:
    from hnlpu.cli._signals import Signals
    from hnlpu.run.emulate import SignalModel, States

SHOWN = 8  # answers that are printed where nobody asked for a file


@app.command()
def run(
    directory: ModelArgument,
    given: Annotated[
        Path,
        typer.Option(
            "--input", metavar="FILE", help="Signals: .npy, .npz or .csv, a position a row."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Answers: a new file, .npy or .csv.")
    ] = None,
    task: TaskOption = None,
    state_in: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="States to go on from.")
    ] = None,
    state_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Keep the states behind the last position."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the outputs of the first sequence: .svg, .pdf, .png or .csv.",
        ),
    ] = None,
    float_activations: FloatActivations = False,
    numerics: Annotated[
        str,
        typer.Option(
            metavar="float|chip", help="All but the matrices in float32, or in fixed point."
        ),
    ] = "float",
    family: FamilyOption = None,
    json: Json = False,
) -> None:
    """Run a network of signals: numbers in at every position, a class or numbers out."""
    from hnlpu._charts import chart_bytes, check_chart
    from hnlpu._whole import new_files
    from hnlpu.cli._signals import encode_answers, encode_states, read_signals, read_states
    from hnlpu.insight.report import signal_chart
    from hnlpu.run.emulate import open_signal_model

    model = open_signal_model(
        directory, float_activations=float_activations, numerics=chosen_numerics(numerics, of_signals=True),
        family=chosen_family(family),
    )  # fmt: skip
    asked = chosen_task(task)
    signals = read_signals(given, model)
    if signals.many and (state_in or state_out):
        raise InvalidInput(
            "states are those of one sequence; give --input of the shape [positions, n]"
        )
    start = model.start() if state_in is None else read_states(state_in, model)
    if output is not None and output.suffix not in (".npy", ".csv"):
        raise InvalidInput(f"{output}: give a file that ends in .npy or .csv")
    if state_out is not None and state_out.suffix != ".npz":
        raise InvalidInput(f"{state_out}: give a file that ends in .npz")
    if plot is not None:
        check_chart(plot)
    paths = [path for path in (output, state_out, plot) if path is not None]
    with new_files(paths) as write:
        began = time.monotonic()
        with waiting("running"):
            answers, first, states = answered(model, signals, start, asked)
        seconds = time.monotonic() - began
        contents = {}
        if output is not None:
            contents[output] = encode_answers(output, answers, signals.many)
        if state_out is not None:
            contents[state_out] = encode_states(model, states)
        if plot is not None:
            contents[plot] = chart_bytes(plot, signal_chart(first, f"{directory}, {given.name}"))
        write(contents)
    facts: dict[str, Any] = {
        "task": asked or model.task, "numerics": model.numerics, "outputs": model.width,
        "sequences": len(signals.sequences), "positions": signals.positions,
        "seconds": round(seconds, 3),
    }  # fmt: skip
    if json:
        if output is None:
            facts["answers"] = [answer.tolist() for answer in answers]
        print_json(facts | {"files": [str(path) for path in paths]})
        return
    if output is None:
        for answer in answers[:SHOWN]:
            out.print(_shown(answer))
        if len(answers) > SHOWN:
            out.print(f"... and {len(answers) - SHOWN:,} more; -o FILE.npy keeps all")
    rate = signals.positions / max(seconds, 1e-9)
    count = len(signals.sequences)
    out.print(
        f"{facts['task']}: {count:,} sequence{'s' * (count != 1)}, {signals.positions:,} positions in "
        f"{seconds:.2f} s, {rate:,.0f} a second"
    )
    for path in paths:
        out.print(f"{path}: written")


def answered(
    model: SignalModel, signals: Signals, start: States, task: Any = None
) -> tuple[list[Any], Any, States]:
    """Answers of all sequences, the first one's outputs [n, m], and the states behind the last."""
    answers, first, states = [], None, start
    for one in signals.sequences:
        outputs, states = model.run(one, start)
        answers.append(model.answer(outputs, task))
        first = outputs if first is None else first
    return answers, first, states


def _shown(answer: Any) -> str:
    """An answer in a line or a few."""
    if answer.ndim == 0:
        return str(int(answer))
    rows: Sequence[Any] = answer[None] if answer.ndim == 1 else answer
    lines = ["  ".join(f"{value:.6g}" for value in row[:SHOWN]) for row in rows[:SHOWN]]
    return "\n".join(lines)
