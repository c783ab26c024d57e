"""The commands, thin: options in, a verb of the API, its result out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hnlpu._version import __version__
from hnlpu.cli._exchange import machine_of
from hnlpu.cli._output import out, parse_tokens, print_json, progress_bar, waiting
from hnlpu.cli._words import in_options
from hnlpu.errors import ContextExceeded, InvalidInput

app = typer.Typer(
    name="hnlpu",
    help="Hardwire a language model: from a checkpoint to metal-embedding digits that talk.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Workers = Annotated[int | None, typer.Option(help="Threads or processes (default: one per core).")]
Ray = Annotated[
    str | None,
    typer.Option(help="Ray cluster to work on, or 'local' to start one with --workers."),
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Build directory, or checkpoint folder.")
]
BuildArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Build directory.")]
Tokens = Annotated[str | None, typer.Option(metavar="IDS", help="Token ids, as in 1,2,3.")]
FloatActivations = Annotated[
    bool, typer.Option("--float-activations", help="Do not round activations to integers.")
]
NumericsOption = Annotated[
    str,
    typer.Option(
        "--numerics",
        metavar="float|chip|machine",
        help="All but the matrices in float32, in fixed point, or in that of all its chips.",
    ),
]
ExchangeOption = Annotated[
    str | None,
    typer.Option(
        "--exchange",
        metavar="FORMAT",
        help="What crosses links (machine): exact, vector, fp16, int8, or KIND=FORMAT,...",
    ),
]
GridOption = Annotated[
    str | None, typer.Option("--grid", metavar="RxC", help="Chips (machine; default: as placed).")
]
AdapterOption = Annotated[
    Path | None, typer.Option(metavar="PATH", help="LoRA adapter to run beside the wires.")
]
DeviceOption = Annotated[
    str, typer.Option(metavar="cpu|cuda|cuda:N|interpreter", help="Where the layers run.")
]
FamilyOption = Annotated[
    Path | None,
    typer.Option(
        "--family", metavar="FILE.py", help="A family of your own, which reads this checkpoint."
    ),
]
NEW_TOKENS = 128  # where nobody says
_FORMATS = "auto, mxfp4, mxfp4x2, int4, nf4, fitted, int8, int3, ternary or ternary2"


def _version(value: bool) -> None:
    if value:
        print(f"hnlpu {__version__}")  # noqa: T201  this is what was asked for
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Hardwire a language model: from a checkpoint to metal-embedding digits that talk."""
    if context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201  nothing was asked: show what can be


@app.command()
def build(
    checkpoint: Annotated[str, typer.Argument(help="Checkpoint folder, .gguf file or Hub id.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Build directory to make.")],
    preset: Annotated[
        str, typer.Option(help="Policy to start from: default or paper.")
    ] = "default",
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Policy file (TOML), as `hnlpu sensitivity` writes it."),
    ] = None,
    attention: Annotated[str | None, typer.Option(help=f"Format: {_FORMATS}.")] = None,
    router: Annotated[str | None, typer.Option(help=f"Format: {_FORMATS}.")] = None,
    experts: Annotated[
        str | None, typer.Option(help="Format of experts that are not MXFP4.")
    ] = None,
    unembedding: Annotated[str | None, typer.Option(help=f"Format: {_FORMATS}.")] = None,
    dense: Annotated[
        str | None, typer.Option(help="Format of all other matrices (default: attention's).")
    ] = None,
    activation_bits: Annotated[int | None, typer.Option(help="Activation width, 2 to 16.")] = None,
    max_spread: Annotated[
        int | None, typer.Option(help="Largest range of block exponents in a row, 0 to 20.")
    ] = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Round rows that spread further, not refuse them.")
    ] = False,
    max_error: Annotated[
        float | None,
        typer.Option(help="Refuse a build with a matrix whose relative error is larger."),
    ] = None,
    max_perplexity_loss: Annotated[
        float | None,
        typer.Option(
            help="Refuse a build that raises the perplexity of --text by more (0.01: 1 %)."
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="UTF-8 file to score, in float and hardwired."),
    ] = None,
    technology: Annotated[
        str,
        typer.Option(
            help="Process: n5, n7, n3, asap7, sky130, ihp-sg13g2, gf180, or a .toml file."
        ),
    ] = "n5",
    scheme: Annotated[str, typer.Option(help="Embedding: taps or regions.")] = "taps",
    chips: Annotated[
        int | None, typer.Option(help="Chips to place on (default: as few as are needed).")
    ] = None,
    bank: Annotated[int, typer.Option(help="Most experts that share a popcount.")] = 8,
    group: Annotated[int, typer.Option(help="Ports of a group (regions).")] = 4,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    family: FamilyOption = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Hardwire a checkpoint into a build directory."""
    from hnlpu.cli._build import do_build

    formats = {
        "attention": attention, "router": router, "experts": experts, "unembedding": unembedding,
        "dense": dense, "activation_bits": activation_bits, "max_spread": max_spread,
        "requantize": requantize or None,
    }  # fmt: skip
    target = (technology, scheme, chips, bank, group)
    limits = (max_error, max_perplexity_loss, text)
    do_build(
        checkpoint, output, preset, policy, formats, limits, target, revision=revision,
        family=chosen_family(family), workers=workers, json=json,
    )  # fmt: skip


@app.command()
def verify(
    directory: BuildArgument,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to compare with (default: the one it was built from)."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Neurons per matrix held to the golden model.")
    ] = 4,
    masks: Annotated[
        bool, typer.Option("--masks", help="Draw the metal of every weight and read it back.")
    ] = False,
    masks_from: Annotated[
        Path | None, typer.Option(help="The same with the files of a folder of masks.")
    ] = None,
    rtl: Annotated[
        bool,
        typer.Option("--rtl", help="Simulate a neuron of every shape of array with Verilator."),
    ] = False,
    rtl_all: Annotated[
        bool,
        typer.Option("--rtl-all", help="Simulate every neuron of every array, which takes long."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples.")] = 0,
    workers: Workers = None,
    ray: Ray = None,
    json: Json = False,
) -> None:
    """Prove a build: its files, every weight, its arithmetic and, on request, its metal."""
    from hnlpu.insight.verify import verify as do_verify

    with progress_bar("verifying") as progress:
        result = do_verify(
            directory, checkpoint, samples=samples, seed=seed, masks=masks, masks_from=masks_from,
            rtl=rtl, rtl_all=rtl_all, workers=workers, ray=ray, progress=progress,
        )  # fmt: skip
    if json:
        print_json(
            {
                "directory": str(result.directory),
                "checkpoint": str(result.checkpoint) if result.checkpoint else None,
                "passed": result.passed,
                "skipped": result.skipped,
                "checks": [
                    {
                        "name": c.name, "outcome": c.outcome, "passed": c.passed,
                        "covered": c.covered, "unit": c.unit,
                        "problems": [in_options(problem) for problem in c.problems],
                        "skipped": c.skipped and in_options(c.skipped),
                    }
                    for c in result.checks
                ],
            }
        )  # fmt: skip
    else:
        for check in result.checks:
            mark = "FAILED" if check.outcome == "failed" else check.outcome
            out.print(f"{check.name:<13} {mark:<7} {check.covered:,} {check.unit}")
            if check.skipped:
                reason = "not compared with a checkpoint: " if check.name == "weights" else ""
                out.print(f"{'':<13} {reason}{in_options(check.skipped)}")
            for problem in check.problems:
                out.print(f"  {in_options(problem)}", markup=False)
        verdict = "sound" if result.passed else "NOT sound"
        left_out = f"; skipped: {', '.join(result.skipped)}" if result.skipped else ""
        out.print(f"{result.directory}: {verdict}{left_out}")
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def generate(
    directory: ModelArgument,
    prompt: Annotated[str | None, typer.Option(help="Text to continue.")] = None,
    tokens: Tokens = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Most new tokens (default: 128, or what the position limit leaves)."),
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the best token each time.")] = 0.0,
    top_p: Annotated[
        float, typer.Option(help="Keep the likeliest tokens that reach this probability.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(help="Keep the K likeliest tokens; 0 and -1: all.")] = 0,
    min_p: Annotated[
        float, typer.Option(help="Drop tokens less likely than this times the likeliest.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    past_limit: Annotated[
        bool, typer.Option("--past-limit", help="Go on past the model's position limit.")
    ] = False,
    stream: Annotated[bool, typer.Option(help="Print text as it comes.")] = True,
    ignore_end: Annotated[bool, typer.Option(help="Go on after an end-of-text token.")] = False,
    float_activations: FloatActivations = False,
    numerics: NumericsOption = "float",
    exchange: ExchangeOption = None,
    grid: GridOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = "cpu",
    family: FamilyOption = None,
    json: Json = False,
) -> None:
    """Let the model continue a prompt."""
    from hnlpu.run.emulate import open_language_model

    if (prompt is None) == (tokens is None):
        raise InvalidInput("give either --prompt TEXT or --tokens 1,2,3")
    model = open_language_model(
        directory, float_activations=float_activations, numerics=chosen_numerics(numerics),
        family=chosen_family(family), machine=machine_of(numerics, exchange, grid),
    )  # fmt: skip
    given: Any = parse_tokens(tokens) if tokens is not None else prompt or ""
    given = model.encode(given).tolist()
    new = _adapted(model, adapter, device).generate(
        given, max_tokens=_room(model, len(given), max_tokens, past_limit),
        temperature=temperature, seed=seed, ignore_end=ignore_end,
        top_p=top_p, top_k=top_k, min_p=min_p,
    )  # fmt: skip
    has_text = model.tokenizer.usable
    began, first = time.monotonic(), None
    ids, pieces = [], []
    for token in new:
        first = first or time.monotonic()
        ids.append(token.id)
        pieces.append(token.text)
        if stream and not json:
            sys.stdout.write(token.text if has_text else f"{token.id} ")
            sys.stdout.flush()
    ended = time.monotonic()
    # the first token waits for the prompt, so the rate counts the ones after it
    span = ended - (first or began) if len(ids) > 1 else ended - began
    rate = max(1, len(ids) - 1) / span if ids and span > 0 else 0.0
    if json:
        text = "".join(pieces) if has_text else None
        print_json(
            {"tokens": ids, "text": text, "tokens_per_second": round(rate, 2),
             "first_token_seconds": round((first or ended) - began, 4)}
        )  # fmt: skip
        return
    if not stream:
        sys.stdout.write("".join(pieces) if has_text else " ".join(map(str, ids)))
    sys.stdout.write("\n")
    if sys.stderr.isatty():
        sys.stderr.write(f"[{len(ids)} tokens, {rate:.0f} tokens/s]\n")


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
    task: Annotated[
        str | None,
        typer.Option(
            metavar="classify|regress|stream", help="What to answer (default: the model's)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Perplexity of a text; of signals with labels, accuracy and F1, or mean errors."""
    from hnlpu.run.emulate import open_language_model

    if given_signals is not None or labels is not None:
        from hnlpu.cli._run import score_signals

        _expect_signals_alone((text, tokens, file, context, adapter, exchange, grid), top, device)
        if given_signals is None or labels is None:
            raise InvalidInput(
                "signals are scored beside labels; give --input FILE and --labels FILE"
            )
        score_signals(
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
        result = _adapted(model, adapter, device).score(given, context=context, top=top)
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


def _room(model: Any, prompt: int, wanted: int | None, past_limit: bool) -> int:
    """How many new tokens to make.  Raises ContextExceeded where that passes the position limit."""
    limit = model.transformer.architecture.max_position_embeddings
    new = max(1, min(NEW_TOKENS, limit - prompt)) if wanted is None else wanted
    if prompt + new > limit and not past_limit:
        raise ContextExceeded(
            f"the prompt has {prompt} tokens and {new} are asked for, which exceeds the model's "
            f"position limit of {limit}; shorten one of them, or give --past-limit"
        )
    return new


def chosen_family(path: Path | None) -> Any:
    """The family of a user's file; raises InvalidInput."""
    from hnlpu.model.families import open_family

    return None if path is None else open_family(path)


def chosen_numerics(name: str, *, of_signals: bool = False) -> Any:
    """The name of numerics; raises InvalidInput."""
    if name not in ("float", "chip") and (of_signals or name != "machine"):
        takes = "float or chip, which signals have" if of_signals else "float, chip or machine"
        raise InvalidInput(f"--numerics {name}: give {takes}")
    return name


def _adapted(model: Any, adapter: Path | None, device: str) -> Any:
    """The model, with the adapter or on the device that is asked for: all generate and score."""
    if adapter is None and device == "cpu":
        return model
    from hnlpu.run.engine import Adapted

    return Adapted(model, adapter, device)


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


def read_text(path: Path) -> str:
    """A UTF-8 file; raises InvalidInput."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: is not UTF-8 text (byte {error.start})") from None


@app.command()
def report(
    directory: BuildArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file (default: DIR.report.html).")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint for the float figures (default: the one it was built from)."),
    ] = None,
    text: Annotated[Path | None, typer.Option(help="UTF-8 file to score with both models.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt of the sample text.")] = None,
    json: Json = False,
) -> None:
    """Write a self-contained HTML page about a build."""
    from hnlpu.insight.report import report as do_report

    passage = None if text is None else read_text(text)
    with waiting("measuring and drawing"):
        path = do_report(directory, output, checkpoint=checkpoint, text=passage, prompt=prompt)
    if json:
        print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        out.print(f"{path}: {path.stat().st_size / 1e3:.0f} kB, opens in any browser")


@app.command()
def doctor(json: Json = False) -> None:
    """What is installed, what this machine can use, and what is missing."""
    from hnlpu.cli._doctor import examine

    findings = examine()
    if json:
        print_json([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            absent = finding.state == "missing" and not finding.needed
            mark = "optional" if absent else finding.state
            where = f"  {finding.path}" if finding.path else ""
            out.print(f"{mark:<9} {finding.name:<17} {finding.detail}{where}", markup=False)
            if not finding.ok and finding.remedy:
                out.print(f"{'':<9} {'':<17} install: {finding.remedy}", markup=False)
    if any(f.needed and not f.ok for f in findings):
        raise typer.Exit(1)


# commands in files of their own, which add themselves
from hnlpu.cli import (  # noqa: E402
    _adapter,  # noqa: F401
    _audit,  # noqa: F401
    _catalog,  # noqa: F401
    _chart,  # noqa: F401
    _chat,  # noqa: F401
    _chip,  # noqa: F401
    _cost,  # noqa: F401
    _design,  # noqa: F401
    _draw,  # noqa: F401
    _explore,  # noqa: F401
    _index,  # noqa: F401
    _machine,  # noqa: F401
    _masks,  # noqa: F401
    _rtl,  # noqa: F401
    _run,  # noqa: F401
    _sensitivity,  # noqa: F401
    _serve,  # noqa: F401
    _sweep,  # noqa: F401
)
