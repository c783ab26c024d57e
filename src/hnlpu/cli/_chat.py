"""`hnlpu chat`: talk to a model in the terminal."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hnlpu.cli._app import app
from hnlpu.cli._options import ModelArgument
from hnlpu.cli._words import in_options
from hnlpu.errors import ContextExceeded, HnlpuError, InvalidInput

if TYPE_CHECKING:
    from hnlpu.run.chat import Talk
    from hnlpu.run.emulate import LanguageModel
    from hnlpu.run.engine import Engine, Sampling

NEW_TOKENS = 512
LEAST = 1  # tokens of room, without which nothing is asked
HELP = """\
/help            this
/system TEXT     instructions, for a new conversation
/clear           a new conversation
/quit, Ctrl-D    the end
Ctrl-C           the end of the answer under way
"""
DIM, PLAIN = "\033[2m", "\033[0m"


@app.command()
def chat(
    directory: ModelArgument,
    system: Annotated[str | None, typer.Option(help="Instructions to begin with.")] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help="Most new tokens of an answer (default: 512, or what there is room for)."
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 takes the best token (default: the makers', or 1).")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Keep the likeliest tokens that reach this probability.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Keep the K likeliest tokens; 0 and -1: all.")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Drop tokens less likely than this times the likeliest.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed; answer i is drawn with seed + i.")] = 0,
    past_limit: Annotated[
        bool, typer.Option("--past-limit", help="Go on past the model's position limit.")
    ] = False,
    thoughts: Annotated[bool, typer.Option(help="Show what the model thinks.")] = True,
) -> None:
    """Talk to a model: answers as they come, with the conversation so far as their context."""
    from hnlpu.run.chat import Talk
    from hnlpu.run.emulate import open_language_model, read_defaults
    from hnlpu.run.engine import Sampling

    model = open_language_model(directory)
    told = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p}
    makers = read_defaults(model.directory)
    given = {
        name: getattr(makers, name) if value is None else value for name, value in told.items()
    }
    sampling = {"temperature": 1.0} | {n: value for n, value in given.items() if value is not None}
    Sampling(**sampling, seed=seed).check(model.vocab_size)
    talk = Talk(model)
    if not talk.knows_roles:
        _note("this model has no chat template: what is said is one text, which it goes on with")
    if system:
        talk.say(system, "system")
    _note("/help says what there is; /quit or Ctrl-D ends")
    ask = _asker(model, past_limit)
    for number, line in enumerate(_lines()):
        if not line.strip():
            continue
        before = list(talk.messages)
        try:
            if line.startswith("/"):
                _command(talk, line)
                continue
            talk.say(line)
            prompt = talk.prompt()
            room = _room(model, len(prompt), max_tokens, past_limit)
            drawn = Sampling(**sampling, seed=seed + number)
            with _interruptible() as stopped:
                _tell(talk, prompt, ask(prompt, room, drawn, stopped), thoughts)
        except HnlpuError as error:  # the conversation goes on as it was
            talk.messages = before
            _note(in_options(str(error)))


def _lines() -> Iterator[str]:
    """What is typed, line by line, to the end of the input or `/quit`."""
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  lets lines be edited
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except (EOFError, KeyboardInterrupt):
            return
        if line.strip() == "/quit":
            return
        yield line


def _command(talk: Talk, line: str) -> None:
    name, _, rest = line.partition(" ")
    match name:
        case "/help":
            sys.stdout.write(HELP)
        case "/clear":
            talk.messages = []
        case "/system" if rest.strip():
            talk.messages = []
            talk.say(rest.strip(), "system")
        case _:
            _note(f"{name} is no command, or lacks its text; /help lists them")


Ask = Callable[[tuple[int, ...], int, "Sampling", Callable[[], bool]], Iterator[int]]


def _asker(model: LanguageModel, past_limit: bool) -> Ask:
    """What gives new tokens: the engine, which keeps the states of the conversation so far.

    A model in float32, or past its limit, is asked from the beginning each time.
    """
    from hnlpu.run.engine import Engine, Limits

    if not past_limit:
        with contextlib.suppress(InvalidInput):
            engine = Engine(model, Limits(sequences=1))
            return lambda *request: _from_engine(engine, *request)

    def from_model(
        prompt: tuple[int, ...], most: int, sampling: Sampling, stopped: Callable[[], bool]
    ) -> Iterator[int]:
        for token in model.generate(
            prompt, max_tokens=most, temperature=sampling.temperature, seed=sampling.seed,
            top_p=sampling.top_p, top_k=sampling.top_k, min_p=sampling.min_p,
        ):  # fmt: skip
            yield token.id
            if stopped():
                return

    return from_model


def _from_engine(
    engine: Engine, prompt: tuple[int, ...], most: int, sampling: Any, stopped: Callable[[], bool]
) -> Iterator[int]:
    from hnlpu.run.engine import Request

    ident = engine.submit(Request(prompt, max_tokens=most, sampling=sampling))
    try:
        while engine.busy and not stopped():
            for update in engine.step():
                if update.error is not None:
                    raise update.error
                if update.token is not None and update.stopped_by is None:
                    yield update.token
    finally:
        engine.cancel(ident)
        engine.step()


def _room(model: LanguageModel, prompt: int, wanted: int | None, past_limit: bool) -> int:
    """How many new tokens an answer may have.  Raises ContextExceeded where there is no room."""
    limit = model.transformer.architecture.max_position_embeddings
    left = limit - prompt
    if past_limit:
        return NEW_TOKENS if wanted is None else wanted
    if left < LEAST:
        raise ContextExceeded(
            f"the conversation has {prompt} tokens, which fills the model's position limit of "
            f"{limit}; /clear begins a new one, and `past_limit` goes on past it"
        )
    return min(left, NEW_TOKENS if wanted is None else wanted)


def _tell(talk: Talk, prompt: tuple[int, ...], tokens: Iterator[int], thoughts: bool) -> None:
    """Print an answer as it comes, then how fast it came."""
    count, first = 0, None

    def counted() -> Iterator[int]:
        nonlocal count, first
        for token in tokens:
            first = time.monotonic() if first is None else first
            count += 1
            yield token

    dim, plain = (DIM, PLAIN) if sys.stdout.isatty() else ("", "")
    thinking = False
    with contextlib.closing(tokens):  # type: ignore[type-var]  # a generator
        for parts in talk.answer(prompt, counted()):
            if parts.reasoning and thoughts:
                sys.stdout.write(f"{dim}{parts.reasoning}{plain}")
                thinking = True
            if parts.content:
                sys.stdout.write("\n" * thinking + parts.content)
                thinking = False
            sys.stdout.flush()
    span = time.monotonic() - first if first is not None else 0.0
    # the first token waits for the prompt, so the rate counts the ones after it
    rate = f", {(count - 1) / span:.0f} tokens/s" if count > 1 and span > 0 else ""
    sys.stdout.write("\n")
    _note(f"{count} token{'s' * (count != 1)}{rate}")


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends the answer under way between two tokens, and no more than that."""
    stopped = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _note(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"[{text}]\n")
    sys.stderr.flush()
