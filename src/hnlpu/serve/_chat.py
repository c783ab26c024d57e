"""Conversations as prompts: by the model's own template where it has one, else plainly.

The plain template is for models of text, which know no roles: the messages'
texts one after the other, a newline between them, and the answer goes on
where the last one ends.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hnlpu.errors import InvalidInput

TEMPLATE = "chat_template.jinja"
SETTINGS = "tokenizer_config.json"


class Said(Protocol):
    """A message: who says what."""

    @property
    def role(self) -> str:
        """`system`, `developer`, `user` or `assistant`."""
        ...

    @property
    def text(self) -> str:
        """What is said."""
        ...


class ChatTemplate:
    """Messages -> the text that the answer follows, for the model in `directory`."""

    def __init__(self, directory: Path):
        settings = _settings(directory / SETTINGS)
        self.source = source = _source(directory / TEMPLATE, settings)
        self.is_plain = source is None
        self._names = {name: _name(settings.get(name)) for name in ("bos_token", "eos_token")}
        self._template: jinja2.Template | None = None
        if source is not None:
            environment = ImmutableSandboxedEnvironment(
                trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
            )
            environment.filters["tojson"] = _to_json
            environment.globals.update(raise_exception=_refuse, strftime_now=_now)
            try:
                self._template = environment.from_string(source)
            except jinja2.TemplateError as error:
                raise InvalidInput(
                    f"{directory}: its chat template cannot be read ({error}); "
                    f"correct {TEMPLATE} or remove it"
                ) from None

    def render(
        self, messages: Sequence[Said], special: Sequence[str], reasoning_effort: str | None = None
    ) -> str:
        """The prompt of a conversation.

        Raises InvalidInput for what the template refuses, and for a message
        that spells one of the `special` tokens: it could pretend to be another's.
        """
        for message in messages:
            for name in special:
                if name in message.text:
                    raise InvalidInput(f"messages: {name!r} is a special token; leave it out")
        if self._template is None:
            return "\n".join(message.text for message in messages)
        values: dict[str, Any] = dict(self._names)
        if reasoning_effort is not None:
            values["reasoning_effort"] = reasoning_effort
        said = [{"role": m.role, "content": m.text} for m in messages]
        try:
            return self._template.render(messages=said, add_generation_prompt=True, **values)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise InvalidInput(f"messages: the chat template refuses them ({error})") from None


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read as JSON ({error})") from None
    return found if isinstance(found, dict) else {}


def _source(path: Path, settings: dict[str, Any]) -> str | None:
    if path.is_file():
        return path.read_text("utf-8")
    source = settings.get("chat_template")
    return source if isinstance(source, str) else None


def _name(token: Any) -> str:
    """A special token's text, given as such or as the object that transformers writes."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
