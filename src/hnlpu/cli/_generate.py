"""`hnlpu generate`."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

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
    Tokens,
    adapted,
    chosen_family,
    chosen_numerics,
)
from hnlpu.cli._output import parse_tokens, print_json
from hnlpu.errors import ContextExceeded, InvalidInput

NEW_TOKENS = 128  # where nobody says


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
    new = adapted(model, adapter, device).generate(
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
