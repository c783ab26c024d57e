"""What is wrong with a request: which field, what it should be, and what it is."""

from __future__ import annotations

from typing import Any

from hnlpu.serve._fields import kind_of

_SHOULD = {
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of 64 bits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}
_RANGES = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "above"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "below"),
}


def first_problem(problems: Any) -> tuple[str, str]:
    """Where the first of pydantic's problems is, and what it is."""
    if not problems:
        return "", "the request makes no sense"
    problem = problems[0]
    if problem["type"] == "json_invalid":
        return "", "the request is not valid JSON"
    parts = [str(part) for part in problem["loc"] if part != "body"]
    # keys of the client's own may be anything
    where = ".".join(parts)[:100].encode("utf-8", "replace").decode()
    return where, _text(problem)


def _text(problem: Any) -> str:
    kind, found = problem["type"], problem.get("input")
    context = problem.get("ctx") or {}
    if kind in _SHOULD:
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return f"{_SHOULD[kind]}, not {found if is_number else kind_of(found)}"[:200]
    if kind in _RANGES:
        name, word = _RANGES[kind]
        return f"must be {word} {_number(context[name])}, is {_number(found)}"
    match kind:
        case "missing":
            return "is missing" if problem["loc"][1:] else "the request has no body"
        case "finite_number":
            return "must be a finite number"
        case "literal_error":
            return f"must be {context['expected']}".replace("'", "")
        case "too_long":
            return (
                f"must have at most {context['max_length']} entries, has {context['actual_length']}"
            )
        case "too_short":
            return f"must have at least {context['min_length']} entries"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "string_pattern_mismatch":
            return "must be of letters, digits and _ . : - alone, 128 at most"
        case "string_too_short":
            return "is empty; leave it out or give a text"
        case _:
            return str(problem["msg"]).removeprefix("Value error, ")


def _number(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) < 32 else "a number beyond that"
