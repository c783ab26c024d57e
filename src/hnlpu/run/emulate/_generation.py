"""generation_config.json and tokenizer_config.json: how a model's makers mean it to be sampled."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate._tokenizer import Tokenizer

GENERATION = "generation_config.json"
TOKENIZER = "tokenizer_config.json"
OLDER = "special_tokens_map.json"


@dataclass(frozen=True)
class Defaults:
    """What a request that does not say gets; None where the model's makers do not say either."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None


_RANGES: dict[str, tuple[type, float, float]] = {
    "temperature": (float, 0, 100),
    "top_p": (float, 0, 1),
    "top_k": (int, -1, 2**31 - 1),
    "min_p": (float, 0, 1),
    "repetition_penalty": (float, 1e-3, 1e3),
    "max_new_tokens": (int, 1, 2**31 - 1),
}


def read_defaults(directory: Path) -> Defaults:
    """The sampling that generation_config.json of a checkpoint or build states.

    As vLLM reads it, `do_sample` is not looked at.  Raises InvalidInput, which names the file.
    """
    settings = read_json(directory / GENERATION)
    found: dict[str, Any] = {}
    for name, (kind, low, high) in _RANGES.items():
        value = settings.get(name)
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high or math.isnan(value) or kind(value) != value:
            raise InvalidInput(
                f"{directory / GENERATION}: {name} must be a number from {low:g} to {high:g}; "
                "correct it or remove it"
            )
        found[name] = kind(value)
    return Defaults(**found)


def end_tokens(directory: Path, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Tokens that end an answer by generation_config.json and tokenizer_config.json.

    Raises InvalidInput, which names the file.
    """
    path = directory / GENERATION
    told = read_json(path).get("eos_token_id")
    ids = told if isinstance(told, list) else [] if told is None else [told]
    if not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids):
        raise InvalidInput(f"{path}: eos_token_id must be a token id or a list of them; correct it")
    name = token_name(tokenizer_settings(directory).get("eos_token"))
    if name and tokenizer.usable:
        ident = tokenizer.token_id(name)
        if ident is not None:
            ids = [*ids, ident]
    return tuple(dict.fromkeys(ids))


def tokenizer_settings(directory: Path) -> dict[str, Any]:
    """tokenizer_config.json, with the special tokens that special_tokens_map.json names.

    As transformers reads them: the latter goes before, unless the former lists `added_tokens_decoder`; then it
    is not looked at.  Raises InvalidInput.
    """
    settings = read_json(directory / TOKENIZER)
    if "added_tokens_decoder" in settings:
        return settings
    older = read_json(directory / OLDER)
    return settings | {name: token for name, token in older.items() if token is not None}


def token_name(token: Any) -> str:
    """A special token's text, given as such or as the object that transformers writes."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file, empty where there is no such file; raises InvalidInput."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: cannot be read as JSON ({error})") from None
    return found if isinstance(found, dict) else {}
