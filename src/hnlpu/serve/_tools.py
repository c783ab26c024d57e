"""Tools as requests give them, and which of them an answer must, may or must not call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from hnlpu.serve._fields import Flag, kind_of
from hnlpu.serve._wire import Wire

NAME = r"^[A-Za-z0-9_.:-]{1,128}$"


class Function(Wire):
    """A function that the model may ask to be called."""

    name: str = Field(pattern=NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of its arguments.")
    strict: Flag | None = None


class _Tool(Wire):
    type: Literal["function"] = "function"
    function: Function


def _as_it_is(value: Any) -> Any:
    """A tool that has been checked; templates get it as the client wrote it."""
    _Tool.model_validate(value)
    return value


_TOOL = {
    "type": "object",
    "properties": {"type": {"const": "function"}, "function": Function.model_json_schema()},
    "required": ["type", "function"],
}
Tool = Annotated[Any, BeforeValidator(_as_it_is), WithJsonSchema(_TOOL)]
"""A tool; functions are the only kind."""


def _choice(value: Any) -> Any:
    if value in ("none", "auto", "required"):
        return value
    named = value.get("function", value) if isinstance(value, dict) else None
    if isinstance(named, dict) and isinstance(named.get("name"), str):
        return value
    raise ValueError(
        "must be none, auto, required, or an object that names a function, "
        f"not {'another text' if isinstance(value, str) else kind_of(value)}"
    )


def check_names(names: list[str]) -> None:
    """Raises ValueError where two tools have one name: a call could not tell them apart."""
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"tools: two of them are called {twice}; give each a name of its own")


_NAMED = {
    "type": "object",
    "properties": {
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        },
    },
    "required": ["type", "function"],
}
ToolChoice = Annotated[
    Any,
    BeforeValidator(_choice),
    WithJsonSchema({"anyOf": [{"enum": ["none", "auto", "required"]}, _NAMED]}),
]


@dataclass(frozen=True)
class Calls:
    """What an answer may call.

    `must`: at least one; `several`: more than one; `named`: the client chose the function.
    """

    functions: tuple[Function, ...]
    must: bool = False
    several: bool = True
    named: bool = False


def calls_of(tools: list[Any] | None, choice: Any, several: bool) -> Calls | None:
    """What a request lets an answer call; None for nothing."""
    if not tools or choice == "none":
        return None
    functions = tuple(_Tool.model_validate(tool).function for tool in tools)
    if isinstance(choice, dict):
        name = choice.get("function", choice)["name"]
        only = tuple(function for function in functions if function.name == name)
        return Calls(only, must=True, several=False, named=True)
    return Calls(functions, must=choice == "required", several=several)
