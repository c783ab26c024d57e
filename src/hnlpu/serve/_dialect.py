"""How a model writes: its marks of channels, thoughts and tool calls, and who reads them.

request ─► constraint (what may be written) ─► engine ─► parser (what it is) ─► answer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.run.chat import (
    AnswerParser,
    ChatTemplate,
    Format,
    HarmonyAnswer,
    PlainAnswer,
    Reader,
    TextAnswer,
    format_of,
    opening_of,
    said,
    speaks_harmony,
)
from hnlpu.run.emulate import LanguageModel, Step
from hnlpu.serve import _grammar as grammar
from hnlpu.serve._constraint import ANY_OBJECT, CalledFreely, Constraints, Matched
from hnlpu.serve._schema import StructuredOutputs
from hnlpu.serve._tools import Calls, Function

HARMONY_ENDS = ("<|return|>", "<|call|>")
OPENED = 8  # tokens at a prompt's end in which thoughts may have been opened


@dataclass(frozen=True)
class Turn:
    """One conversation's prompt, and what its answer may call."""

    prompt: tuple[int, ...]
    calls: Calls | None = None


class Dialect:
    """The dialect of one served model."""

    def __init__(self, model: LanguageModel, template: ChatTemplate):
        tokenizer = model.tokenizer
        self._model = model
        self.special = tokenizer.special_tokens() if tokenizer.usable else {}
        self._added = tokenizer.added_tokens() if tokenizer.usable else {}
        self._marks = grammar.Marks(self._added)
        self.harmony = not template.is_plain and speaks_harmony(self.special)
        source = "" if template.is_plain else template.text_of(tools=True)
        self.format: Format | None = None
        if not self.harmony and not template.is_plain:
            self.format = format_of(source, self._added)
        self._thinks = not template.is_plain and {"<think>", "</think>"} <= self._added.keys()
        self.shows_tools = "tools" in source
        ends = HARMONY_ENDS if self.harmony else ()
        self.ends = tuple(self.special[name] for name in ends if name in self.special)

    def check_tools(self) -> None:
        """Raises InvalidInput where the model has no way to call tools."""
        if not self.harmony and self.format is None:
            raise InvalidInput(
                "tools: this model's chat template has no form of tool call that is known here "
                "(harmony, Hermes, Llama 3, Mistral); leave tools out"
            )

    def parser(self, turn: Turn) -> AnswerParser:
        """A parser for one answer."""
        if self.harmony:
            return HarmonyAnswer(self.special, self._model.tokenizer.decoder, self._opening(turn))
        form = self.format if turn.calls else None
        if form is None and not self._thinks:
            return PlainAnswer()
        return TextAnswer(form, self._thinks, self._thinking(turn))

    def reader(self, turn: Turn) -> Step | None:
        """The text that stop strings and the parser see; None for the tokenizer's own."""
        tokenizer = self._model.tokenizer
        if self.harmony:
            return said(self.special, tokenizer.decoder, self._opening(turn))
        shown = ("<think>", "</think>") if self._thinks else ()
        if turn.calls and self.format:
            shown = (*shown, *self.format.tokens)
        hidden = {self.special[name] for name in shown if name in self.special}
        return tokenizer.decoder(turn.prompt, shown=hidden) if hidden else None

    def constraint(
        self, constraints: Constraints, turn: Turn, wanted: StructuredOutputs | None
    ) -> Matched | CalledFreely | None:
        """What the answer of a chat must keep to.  Raises InvalidInput."""
        if wanted is not None:
            return constraints.answer(wanted, self._frame(turn))
        if turn.calls is None:
            return None
        functions = turn.calls.functions
        schemas = {f.name: _parameters(constraints, f) for f in functions}
        named = {grammar.args_name(i): schemas[f.name] for i, f in enumerate(functions)}
        if self.harmony:
            reader = self._reader(turn)
            if turn.calls.must:
                frame = grammar.harmony_calls(self._marks, reader, turn.calls)
                return constraints.calls(frame, named)
            tools = {name: constraints.schema(schema) for name, schema in schemas.items()}
            return CalledFreely(reader, tools, self._model.vocab_size)
        assert self.format is not None
        frame = grammar.text_calls(
            self._marks, self.format, turn.calls, self._thinks, self._thinking(turn)
        )
        return constraints.calls(frame, named)

    def _frame(self, turn: Turn) -> str | None:
        """The grammar around a constrained answer; None where it is the whole text."""
        if self.harmony:
            return grammar.harmony_answer(self._marks, self._reader(turn))
        if self._thinks:
            return grammar.text_answer(self._marks, self._thinks, self._thinking(turn))
        return None

    def _reader(self, turn: Turn) -> Reader:
        return Reader(self.special, self._model.tokenizer.decoder, self._opening(turn))

    def _opening(self, turn: Turn) -> Sequence[int]:
        return opening_of(turn.prompt, self.special)

    def _thinking(self, turn: Turn) -> bool:
        """Whether the prompt ends within thoughts."""
        if not self._thinks:
            return False
        last = turn.prompt[-OPENED:]
        opened = [i for i, t in enumerate(last) if t == self._added["<think>"]]
        closed = [i for i, t in enumerate(last) if t == self._added["</think>"]]
        return bool(opened) and (not closed or closed[-1] < opened[-1])


def _parameters(constraints: Constraints, function: Function) -> dict[str, object]:
    """The schema that arguments are kept to.

    One that llguidance cannot follow is refused where it is strict, else any object will do.
    """
    if not function.parameters:
        return ANY_OBJECT
    try:
        constraints.schema(function.parameters)
    except InvalidInput as error:
        if function.strict:
            raise InvalidInput(f"tools: {function.name}: {error}") from None
        return ANY_OBJECT
    return function.parameters
