"""Structural tags, in any of vLLM's forms -> a grammar: free text in which tags keep to their schemas.

text ... trigger ─► rest of `begin` ─► JSON under a schema ─► `end` ─► text ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from hnlpu.errors import InvalidInput
from hnlpu.serve._grammar import Marks, quoted
from hnlpu.serve._wire import Wire

TAGS_LIMIT = 128
TEXT = "TAG_TEXT: /(?s:.*)/"


class Tag(Wire):
    """A tag: what it begins with, what its content keeps to, and what it ends with."""

    begin: str = Field(min_length=1, max_length=1024)
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    end: str = Field("", max_length=1024)


class Tags(Wire):
    """Tags, and the texts that may begin one."""

    structures: list[Tag] = Field(min_length=1, max_length=TAGS_LIMIT)
    triggers: list[str] = Field(min_length=1, max_length=TAGS_LIMIT)


def tags_of(given: Any) -> Tags:
    """Structural tags, as an object or its JSON: `structures` and `triggers`, or `format`.

    Raises InvalidInput.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise InvalidInput("structural_tag: the text is not JSON") from None
    if not isinstance(given, dict):
        raise InvalidInput("structural_tag: must be an object, or its JSON as a text")
    try:
        tags = Tags.model_validate(_older(given))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise InvalidInput(f"structural_tag: {where}: {problem['msg'].lower()}") from None
    for tag in tags.structures:
        if _trigger(tag, tags.triggers) is None:
            raise InvalidInput(f"structural_tag: no trigger begins {tag.begin[:64]!r}; add one")
    return tags


def _older(given: dict[str, Any]) -> dict[str, Any]:
    """The form with `structures`, from the one with a `format` of type triggered_tags."""
    form = given.get("format")
    if form is None:
        return given
    if not isinstance(form, dict) or form.get("type") != "triggered_tags":
        raise InvalidInput("structural_tag: format: only the type triggered_tags is served here")
    tags = form.get("tags")
    structures = []
    for tag in tags if isinstance(tags, list) else []:
        content = tag.get("content") if isinstance(tag, dict) else None
        if not isinstance(content, dict) or content.get("type") != "json_schema":
            raise InvalidInput("structural_tag: format: each tag's content must be a json_schema")
        structures.append(tag | {"schema": content.get("json_schema") or {}})
    return {"structures": structures, "triggers": form.get("triggers")}


def _trigger(tag: Tag, triggers: list[str]) -> str | None:
    """The longest trigger that a tag begins with."""
    fitting = [trigger for trigger in triggers if trigger and tag.begin.startswith(trigger)]
    return max(fitting, key=len, default=None)


def grammar_of(tags: Tags, added: Mapping[str, int]) -> str:
    """The grammar of structural tags, in Lark's form; `added` are tokens beside the vocabulary."""
    marks = Marks(added)
    rules = []
    for i, tag in enumerate(tags.structures):
        trigger = _trigger(tag, tags.triggers)
        assert trigger is not None
        if trigger in added:
            head = f"TAG_TEXT {marks[trigger]}"
        else:
            rules.append(f"head_{i}[lazy]: TAG_TEXT {quoted(trigger)}")
            head = f"head_{i}"
        # whitespace only where JSON's own writers put it, as in other schemas
        schema = json.dumps(tag.schema_ | {"x-guidance": {"whitespace_flexible": False}})
        rest = tag.begin[len(trigger) :]
        parts = [
            head,
            quoted(rest) if rest else "",
            f"%json {schema}",
            quoted(tag.end) if tag.end else "",
        ]
        rules.append(f"tag_{i}: {' '.join(part for part in parts if part)}")
    several = " | ".join(f"tag_{i}" for i in range(len(tags.structures)))
    return "\n".join(
        ["%llguidance {}", f"start: ({several})* last", "last: TAG_TEXT", *rules, TEXT]
    )
