"""Conversations as prompts: by the model's own template where it has one, else plainly.

Templates are rendered as transformers' `apply_chat_template` renders them: its Jinja environment,
its extensions, its named templates, and every field of every message.  The plain template is for
models of text, which know no roles: the messages' texts one after the other, a newline between
them, and the answer goes on where the last one ends.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import token_name, tokenizer_settings

TEMPLATE = "chat_template.jinja"
MORE_TEMPLATES = "additional_chat_templates"
DEFAULT, WITH_TOOLS = "default", "tool_use"
_SPECIAL = tuple(f"{kind}_token" for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_REASONING = ("reasoning_content", "thinking", "reasoning")

_HERE = "CONTINUE_FINAL_MESSAGE_TAG "
"""What stands behind the content of a message that is continued while its template is rendered."""

_REFUSALS = (
    jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError,
    RecursionError,
)  # fmt: skip

Message = Mapping[str, Any]


class ChatTemplate:
    """Messages -> the text that the answer follows, for the model in `directory`.

    Raises InvalidInput for a template that cannot be read.
    """

    def __init__(self, directory: Path):
        settings = tokenizer_settings(directory)
        self._values = _special_values(settings)
        self.sources = _sources(directory, settings)
        environment = _environment()
        self._templates: dict[str, jinja2.Template] = {}
        for name, source in self.sources.items():
            try:
                self._templates[name] = environment.from_string(source)
            except jinja2.TemplateError as error:
                raise InvalidInput(
                    f"{directory}: its chat template cannot be read ({error}); "
                    f"correct {TEMPLATE} or remove it"
                ) from None
        self._takes_parts = {
            n: _loops_over_content(environment, s) for n, s in self.sources.items()
        }

    @property
    def is_plain(self) -> bool:
        """Whether the model has no template of its own."""
        return not self.sources

    @property
    def source(self) -> str | None:
        """The template that is rendered without tools, None for the plain one."""
        return self.sources.get(DEFAULT) or next(iter(self.sources.values()), None)

    def text_of(self, tools: bool) -> str:
        """The source of the template that is rendered, with or without tools."""
        return "" if self.is_plain else self.sources[self._choose(None, tools)]

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        values: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt of a conversation.

        `template` names one of several; `values` reach the template as they are.  With
        `continue_final_message` the prompt ends where the last message does.  Raises InvalidInput
        for what the template refuses.
        """
        if self.is_plain:
            return "\n".join(text_of(message.get("content")) for message in messages)
        name = self._choose(template, tools is not None)
        said = [_prepared(message, self._takes_parts[name]) for message in messages]
        if continue_final_message:
            said[-1] = _marked(said[-1])
        try:
            text = self._templates[name].render(
                {
                    **self._values, **(values or {}),
                    "messages": said, "tools": tools, "documents": documents,
                    "add_generation_prompt": add_generation_prompt and not continue_final_message,
                }
            )  # fmt: skip
        except _REFUSALS as error:
            raise InvalidInput(f"messages: the chat template refuses them ({error})") from None
        return _cut(text) if continue_final_message else text

    def _choose(self, template: str | None, tools: bool) -> str:
        if template is not None:
            if template in self.sources:
                return template
            raise InvalidInput(
                "chat_template: give the name of one of the build's own: "
                f"{', '.join(sorted(self.sources))}"
            )
        if tools and WITH_TOOLS in self.sources:
            return WITH_TOOLS
        if DEFAULT in self.sources:
            return DEFAULT
        raise InvalidInput(
            f"the model has several chat templates and none is called {DEFAULT}; give "
            f"chat_template: one of {', '.join(sorted(self.sources))}"
        )


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or parts, a newline between them."""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or ())


def _prepared(message: Message, takes_parts: bool) -> dict[str, Any]:
    """A message as templates expect it; what is null is left out."""
    found = {key: value for key, value in message.items() if value is not None}
    if isinstance(found.get("content"), list) and not takes_parts:
        found["content"] = text_of(found["content"])
    reasoning = next((found[key] for key in _REASONING if key in found), None)
    if reasoning is not None:
        # gpt-oss reads `thinking`, which it refuses beside the content of a message with tool calls
        told = found.get("content") and found.get("tool_calls")
        found = ({} if told else {"thinking": reasoning}) | found
        found["reasoning_content"] = reasoning
    return found


def _marked(message: dict[str, Any]) -> dict[str, Any]:
    """A message with `_HERE` behind the last of its texts."""
    content = message.get("content")
    if isinstance(content, str):
        return message | {"content": content + _HERE}
    parts = [dict(part) for part in content or ()]
    last = next((part for part in reversed(parts) if isinstance(part.get("text"), str)), None)
    if last is not None:
        last["text"] += _HERE
    return message | {"content": parts}


def _cut(text: str) -> str:
    """The rendered text up to where the last message's content ends."""
    at = text.rfind(_HERE.strip())
    if at < 0:
        raise InvalidInput(
            "continue_final_message: the chat template does not show the last message as it is"
        )
    # without the space behind it, the template strips a content's end
    return text[:at] if text.startswith(_HERE, at) else text[:at].rstrip()


def _sources(directory: Path, settings: dict[str, Any]) -> dict[str, str]:
    """Templates by name; those in files stand in for those of tokenizer_config.json."""
    found: dict[str, str] = {}
    if (directory / TEMPLATE).is_file():
        found[DEFAULT] = _read(directory / TEMPLATE)
    # a checkpoint has the others in a folder, a build beside the first
    for folder in (directory, directory / MORE_TEMPLATES):
        for path in sorted(folder.glob("*.jinja")):
            if path.name != TEMPLATE:
                found[path.stem] = _read(path)
    if found:
        return found
    source = settings.get("chat_template")
    if isinstance(source, str):
        return {DEFAULT: source}
    several = source if isinstance(source, list) else []
    return {
        part["name"]: part["template"]
        for part in several
        if isinstance(part, dict)
        and isinstance(part.get("name"), str)
        and isinstance(part.get("template"), str)
    }


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read as UTF-8 text ({error})") from None


def _special_values(settings: dict[str, Any]) -> dict[str, str]:
    """Special tokens by the names that templates know, those that the tokenizer has."""
    extra = settings.get("extra_special_tokens")
    found = (extra if isinstance(extra, dict) else {}) | settings
    names = (*_SPECIAL, *(extra if isinstance(extra, dict) else ()))
    return {name: text for name in names if (text := token_name(found.get(name)))}


class _Generation(Extension):
    """`{% generation %}` marks what the assistant says, for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012  jinja's own form

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        body: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return [nodes.Scope(body, lineno=parser.stream.current.lineno)]


def _environment() -> ImmutableSandboxedEnvironment:
    """The environment that transformers renders in."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(raise_exception=_refuse, strftime_now=_now)
    return environment


def _loops_over_content(environment: jinja2.Environment, source: str) -> bool:
    """Whether a template takes a message's content in parts: it loops over something so called."""
    tree = environment.parse(source)
    loops = tree.find_all(nodes.For)
    return any(_is_content(loop.iter) for loop in loops)


def _is_content(node: nodes.Node) -> bool:
    match node:
        case nodes.Name(name="content") | nodes.Getattr(attr="content"):
            return True
        case nodes.Getitem(arg=nodes.Const(value="content")):
            return True
        case nodes.Filter(node=nodes.Node() as inner) | nodes.Getitem(node=inner):
            return _is_content(inner)
        case _:
            return False


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
