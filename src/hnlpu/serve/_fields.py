"""Fields of several forms, each checked in words that say what it should be."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict, WithJsonSchema

PROMPTS_LIMIT = 128
STOPS_LIMIT = 16
STOP_CHARACTERS = 256
PARTS_LIMIT = 256
TOKEN_LIMIT = 2**31 - 1
TEXT_PARTS = ("text", "input_text", "output_text", "refusal")

Whole = Annotated[int, Strict()]
"""A whole number of JSON: no text and neither true nor false."""

Number = Annotated[float, Strict()]
"""A number of JSON, likewise."""

Flag = Annotated[bool, Strict()]
"""true or false, and nothing that might mean them."""

Token = Annotated[int, Field(ge=0, le=TOKEN_LIMIT, strict=True)]
_TOKEN = {"type": "integer", "minimum": 0, "maximum": TOKEN_LIMIT}
_TOKENS = {"type": "array", "items": _TOKEN, "minItems": 1}


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKEN_LIMIT


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_token, value))


def _prompt(value: Any) -> Any:
    forms = "must be a text, a list of texts, a list of token ids, or a list of such lists"
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError(f"{forms}, not {kind_of(value)}")
    if not value:
        raise ValueError(f"{forms}; it is empty")
    if _is_tokens(value):
        return value
    for i, entry in enumerate(value):
        same = isinstance(entry, str) if isinstance(value[0], str) else _is_tokens(entry)
        if not same:
            what = "an empty list" if entry == [] else kind_of(entry)
            raise ValueError(
                f"{forms}; entry {i} is {what}" + " that is no such id" * (what == "a number")
            )
    if len(value) > PROMPTS_LIMIT:
        raise ValueError(f"must have at most {PROMPTS_LIMIT} prompts, has {len(value)}")
    return value


def _stop(value: Any) -> Any:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list):
        raise ValueError(f"must be a text or a list of texts, not {kind_of(value)}")
    if len(stops) > STOPS_LIMIT:
        raise ValueError(f"must have at most {STOPS_LIMIT} texts, has {len(stops)}")
    for i, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise ValueError(f"entry {i} must be a text, not {kind_of(stop)}")
        if not stop:
            raise ValueError("an empty text would stop everything; leave it out")
        if len(stop) > STOP_CHARACTERS:
            raise ValueError(f"entry {i} must have at most {STOP_CHARACTERS} characters")
    return stops


def _content(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError(f"must be a text or a list of parts, not {kind_of(value)}")
    if len(value) > PARTS_LIMIT:
        raise ValueError(f"must have at most {PARTS_LIMIT} parts, has {len(value)}")
    return [_part(i, part) for i, part in enumerate(value)]


def _part(i: int, part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = (part.get("type") or "text") if isinstance(part, dict) else None
    if kind not in TEXT_PARTS:
        what = f"of type {str(kind)[:32]!r}" if isinstance(kind, str) else kind_of(part)
        raise ValueError(
            f"part {i} is {what}: this model reads text alone, no image and no sound; "
            "give parts of type text"
        )
    text = part.get("refusal" if kind == "refusal" else "text")
    if not isinstance(text, str):
        raise ValueError(f"part {i} must have a text, not {kind_of(text)}")
    return {**part, "type": "text", "text": text}


def _count_or_false(value: Any) -> Any:
    return None if value is False else value


def not_here(remedy: str, *neutral: Any) -> BeforeValidator:
    """For a field that is not supported; `neutral` values change nothing."""

    def check(value: Any) -> None:
        if not any(value == one and type(value) is type(one) for one in neutral):
            raise ValueError(f"is not supported here; {remedy}")

    return BeforeValidator(check)


def _list(items: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


_TEXT = {"type": "string"}
_STOP = {"type": "string", "minLength": 1, "maxLength": STOP_CHARACTERS}
_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": _TEXT},
    "required": ["type", "text"],
}
_PROMPTS = [_TEXT, _list(_TEXT, PROMPTS_LIMIT), _TOKENS, _list(_TOKENS, PROMPTS_LIMIT)]

Prompt = Annotated[Any, BeforeValidator(_prompt), WithJsonSchema({"anyOf": _PROMPTS})]
"""A text, texts, token ids, or lists of token ids."""

Stop = Annotated[
    Any,
    BeforeValidator(_stop),
    WithJsonSchema({"anyOf": [_STOP, {"type": "array", "items": _STOP, "maxItems": STOPS_LIMIT}]}),
]
"""A list of texts, given as such or as one text."""

Content = Annotated[
    Any,
    BeforeValidator(_content),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _PART, "maxItems": PARTS_LIMIT}]}),
]
"""A text, or parts of type text."""

Count = Annotated[Whole | None, BeforeValidator(_count_or_false)]
"""A number; false is none."""
