"""`hnlpu score`: of a text its perplexity, of answers to signals what labels say of them."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hnlpu.cli._app import app
from hnlpu.cli._exchange import machine_of
from hnlpu.cli._options import (
    AdapterOption,
    DeviceOption,
    ExchangeOption,
    FamilyOption,
    FloatActivations,
    GridOption,
    Json,
    ModelArgument,
    NumericsOption,
    TaskOption,
    Tokens,
    adapted,
    chosen_family,
    chosen_numerics,
    chosen_task,
    read_text,
)
from hnlpu.cli._output import out, parse_tokens, print_json, waiting
from hnlpu.cli._run import answered
from hnlpu.errors import InvalidInput


@app.command()
def score(
    directory: ModelArgument,
    text: Annotated[str | None, typer.Option(help="Text to score.")] = None,
    tokens: Tokens = None,
    file: Annotated[Path | None, typer.Option(help="UTF-8 text file to score.")] = None,
    context: Annotated[
        int | None, typer.Option(help="Longest context (default: the model's position limit).")
    ] = None,
    top: Annotated[int, typer.Option(help="Also give the K best tokens at each position.")] = 0,
    float_activations: FloatActivations = False,
    numerics: NumericsOption = "float",
    exchange: ExchangeOption = None,
    grid: GridOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = "cpu",
    family: FamilyOption = None,
    given_signals: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="Signals, as of `hnlpu run`.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What to answer to them: .npy or .csv, a sequence a row."
        ),
    ] = None,
    task: TaskOption = None,
    json: Json = False,
) -> None:
    """Perplexity of a text; of signals with labels, accuracy and F1, or mean errors."""
    from hnlpu.run.emulate import open_language_model

    if given_signals is not None or labels is not None:
        _expect_signals_alone((text, tokens, file, context, adapter, exchange, grid), top, device)
        if given_signals is None or labels is None:
            raise InvalidInput(
                "signals are scored beside labels; give --input FILE and --labels FILE"
            )
        _score_signals(
            directory, given_signals, labels, task=task, float_activations=float_activations,
            numerics=numerics, family=family, json=json,
        )  # fmt: skip
        return
    if task is not None:
        raise InvalidInput("--task is for signals; give --input FILE and --labels FILE")

    if sum(x is not None for x in (text, tokens, file)) != 1:
        raise InvalidInput("give one of --text TEXT, --tokens 1,2,3 or --file PATH")
    given: Any = parse_tokens(tokens) if tokens is not None else text
    if file is not None:
        given = read_text(file)
    model = open_language_model(
        directory, float_activations=float_activations, numerics=chosen_numerics(numerics),
        family=chosen_family(family), machine=machine_of(numerics, exchange, grid),
    )  # fmt: skip
    began = time.monotonic()
    with waiting("scoring"):
        result = adapted(model, adapter, device).score(given, context=context, top=top)
    seconds = time.monotonic() - began
    facts: dict[str, Any] = {
        "logprobs": result.logprobs,
        "nll": result.nll,
        "perplexity": result.perplexity,
        "scored_tokens": len(result.logprobs),
        "seconds": round(seconds, 3),
    }
    if result.bits_per_byte is not None:
        facts["bits_per_byte"] = result.bits_per_byte
    if result.top is not None:
        facts["top"] = [
            [{"token": token, "logprob": value} for token, value in best] for best in result.top
        ]
    if json:
        print_json(facts)
        return
    line = f"perplexity {result.perplexity:.4f}, {result.nll:.4f} nats a token"
    if "bits_per_byte" in facts:
        line += f", {facts['bits_per_byte']:.4f} bits a byte"
    count = len(result.logprobs)
    out.print(f"{line}, over {count:,} token{'s' * (count != 1)} in {seconds:.1f} s")
    if result.top is not None:
        _print_top(model, result.tokens, result.logprobs, result.top)


def _expect_signals_alone(of_text: tuple[object, ...], top: int, device: str) -> None:
    """Raise InvalidInput for options that networks of signals do not have."""
    if any(option is not None for option in of_text) or top or device != "cpu":
        raise InvalidInput(
            "--text, --tokens, --file, --context, --top, --adapter, --device, --exchange and --grid are "
            "for models of text; signals take --input, --labels and --task"
        )


def _print_top(
    model: Any, tokens: list[int], logprobs: list[float], top: list[list[tuple[int, float]]]
) -> None:
    def show(token: int) -> str:
        return (
            f"{token} {model.tokenizer.decode([token])!r}" if model.tokenizer.usable else f"{token}"
        )

    table = Table("token", "log p", "best")
    for token, value, best in zip(tokens[1:], logprobs, top, strict=True):
        choices = "   ".join(f"{show(t)} {v:.2f}" for t, v in best)
        table.add_row(show(token), f"{value:.3f}", choices)
    out.print(table, markup=False)


def _score_signals(
    directory: Path, given: Path, labels: Path, *, task: str | None, float_activations: bool,
    numerics: str, family: Path | None, json: bool,
) -> None:  # fmt: skip
    """`hnlpu score --input --labels`: accuracy and F1 of classes, or mean errors of numbers."""
    import numpy as np

    from hnlpu.cli._signals import read_numbers, read_signals
    from hnlpu.run.emulate import open_signal_model, score_classes, score_numbers

    model = open_signal_model(
        directory, float_activations=float_activations, numerics=chosen_numerics(numerics, of_signals=True),
        family=chosen_family(family),
    )  # fmt: skip
    asked = chosen_task(task) or model.task
    signals, wanted = read_signals(given, model), read_numbers(labels)
    began = time.monotonic()
    with waiting("running"):
        answers, _, _ = answered(model, signals, model.start(), asked)
    made = np.stack(answers) if signals.many else np.asarray(answers[0])
    wanted = _as_answers(wanted, made, len(signals.sequences))
    facts: dict[str, Any] = {
        "task": asked, "numerics": model.numerics, "sequences": len(signals.sequences),
        "positions": signals.positions,
    }  # fmt: skip
    if asked == "classify":
        found = score_classes(np.atleast_1d(made), np.atleast_1d(wanted), model.width)
        facts |= asdict(found)
        line = f"accuracy {100 * found.accuracy:.2f} %, F1 {found.f1:.4f}, over {found.count:,} sequences"
    else:
        errors = score_numbers(made, wanted)
        facts |= asdict(errors)
        line = f"MAE {errors.mae:.6g}, RMSE {errors.rmse:.6g}, over {errors.count:,} numbers"
    facts["seconds"] = round(time.monotonic() - began, 3)
    if json:
        print_json(facts)
    else:
        out.print(f"{line} in {facts['seconds']:.1f} s")


def _as_answers(labels: Any, answers: Any, sequences: int) -> Any:
    """Labels of the answers' shape where they differ by axes of length 1, or are a sequence a row."""

    def long(shape: tuple[int, ...]) -> list[int]:
        return [size for size in shape if size != 1]

    a_row_each = (sequences, answers.size // sequences)
    if long(labels.shape) == long(answers.shape) or labels.shape == a_row_each:
        return labels.reshape(answers.shape)
    return labels
