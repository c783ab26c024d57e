"""One request under way: its tokens, its place in memory, and what each new token means for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hnlpu.errors import EngineFault, HnlpuError
from hnlpu.run.emulate import Tokenizer, best_tokens, log_softmax
from hnlpu.run.engine._draft import DraftModel
from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._lookup import MOST, NO_DRAFT, looked_up
from hnlpu.run.engine._memory import StateMemory
from hnlpu.run.engine._request import Reason, Request, TokenScore, Update
from hnlpu.run.engine._sampler import Sampler
from hnlpu.run.engine._slots import INITIAL, SlotPool, prefix_of
from hnlpu.run.engine._stop_text import StopText

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
_log = logging.getLogger(__name__)

SNAPSHOTS = 5
"""Of one sequence, within one step, at most."""
NONE: Mapping[int, int] = MappingProxyType({})


class Sequence:
    """The state of one request inside the engine.

    `tokens` are the prompt and what followed; the first `computed` of them are taken in by `pages`
    and `slot`.  `target` is the slot that the next step fills; `draft` are tokens that it tries beside
    the last one.
    """

    def __init__(self, ident: int, request: Request, tokenizer: Tokenizer, ends: tuple[int, ...]):
        self.ident = ident
        self.request = request
        self.tokens = self._room = np.array(request.prompt, np.int64)  # `tokens` is its beginning
        self.computed = 0
        self.pages: list[int] = []
        self.slot = self.target = INITIAL
        self.cancelled = False
        self.draft = NO_DRAFT
        self._trust = MOST  # tokens that are worth proposing
        self._filed = 0
        self._serial = 0
        self._root = 0
        self._prefixes: list[bytes] = []  # of its pages, as snapshots are filed
        self._sampler = Sampler(request.sampling, request.constraint, request.prompt)
        self._stop = StopText(request.stop)
        self._ends = frozenset(request.stop_tokens) | frozenset(() if request.ignore_end else ends)
        self._decode: Callable[[int], str] | None = request.reader
        if self._decode is None and tokenizer.usable:
            self._decode = tokenizer.decoder(request.prompt, show_special=request.show_special)
        self._reused: int | None = None
        self._new = 0
        self._scores: list[TokenScore] = []
        self._scored = 1  # prompt tokens whose score is known or that have none
        self._sum: npt.NDArray[np.float64] | None = None
        self._prompt_told = not request.score_prompt

    @property
    def pending(self) -> int:
        """Tokens that have yet to run through the layers."""
        return len(self.tokens) - self.computed

    @property
    def needs_every_row(self) -> bool:
        """Whether hidden states of the whole prompt are wanted, so that none may be reused."""
        request = self.request
        return request.score_prompt or request.pooling == "mean"

    def wanted(self, count: int) -> range:
        """Of the next `count` rows, those whose hidden states are wanted."""
        if len(self.draft):
            return range(count)
        end = self.computed + count
        if self.needs_every_row and self.computed < len(self.request.prompt):
            return range(count)
        return range(count - 1, count) if end == len(self.tokens) else range(0)

    def next_tokens(self, count: int) -> Int64:
        """The tokens of the next `count` rows, what is tried included."""
        found = self.tokens[self.computed : self.computed + count]
        return np.concatenate((found, self.draft)) if len(self.draft) else found

    def propose(self, memory: StateMemory, most: int, second: DraftModel | None) -> int:
        """Try up to `most` tokens beside the last one, if there is room; how many that are.

        They are looked up in the text, or else proposed by a second model.

        Only where every state is kept by position: what a rejected token leaves is written over.
        """
        request = self.request
        if not request.speculation or request.pooling is not None:
            return 0
        if self.pending != 1 or memory.has_slots:
            return 0
        most = min(most, request.max_tokens - self._new - 1, self._trust)
        draft = looked_up(self.tokens, most)
        if not len(draft) and second is not None:
            draft = second.propose(self.ident, self.tokens, most)
        if len(draft) and self.reserve(memory, 1 + len(draft)):
            self.draft = draft
        return len(self.draft)

    def reuse(self, memory: StateMemory, root: int) -> int:
        """Go on from what is filed of the tokens' beginning; how many tokens that saves."""
        self._serial = self._root = root
        pages, whole = memory.has_pages, memory.has_slots
        saved = 0
        if not self.needs_every_row and (pages or whole):
            saved = (len(self.tokens) - 1) // PAGE  # something must be left to compute
            if pages:
                self.pages, self._serial = memory.pool.find(root, self.tokens)
                saved = len(self.pages)
            if whole:
                while saved and not memory.slots.has(self._prefix(saved)):
                    saved -= 1
                self.slot = memory.slots.hold(self._prefix(saved)) if saved else INITIAL
            if len(self.pages) > saved:
                memory.pool.release(self.pages[saved:])
                del self.pages[saved:]
                self._serial = memory.pool.serial(self.pages[-1]) if saved else root
        self.computed = PAGE * saved
        self._filed = saved
        return self.computed

    def reserve(self, memory: StateMemory, count: int) -> bool:
        """Get room for the next `count` tokens; False, with what there was, if none is left."""
        if memory.has_slots and self.target == INITIAL:
            slot = memory.slots.take()
            if slot is None:
                return False
            self.target = slot
        while memory.has_pages and PAGE * len(self.pages) < self.computed + count:
            page = memory.pool.take()
            if page is None:
                return False
            self.pages.append(page)
        return True

    def drop(self, memory: StateMemory) -> None:
        """Give all memory back; the tokens must be computed or found again."""
        memory.pool.release(self.pages)
        memory.slots.release(self.slot)
        memory.slots.release(self.target)
        self.slot = self.target = INITIAL
        self.pages, self.computed, self._filed = [], 0, 0
        self._sum = None
        self.draft = NO_DRAFT

    def take_snapshots(self, memory: StateMemory, count: int) -> Mapping[int, int]:
        """Slots for snapshots at ends of pages within the next `count` tokens, by tokens before.

        All of them where they are few.  Each cuts the step's work in two, so of a long prompt it is
        the last and those whose number of pages is a multiple of a power of two, which other prompts
        are cut at too.  No more than a quarter of all slots, so that others keep theirs.
        """
        if not memory.has_slots:
            return NONE
        slots = memory.slots
        first, last = self.computed // PAGE + 1, (self.computed + count - 1) // PAGE
        new = [page for page in range(first, last + 1) if not slots.has(self._prefix(page))]
        chosen, stride = new, 1
        while len(chosen) > SNAPSHOTS:
            stride *= 2
            chosen = [page for page in new[:-1] if page % stride == 0] + new[-1:]
        taken: dict[int, int] = {}
        for page in chosen[-max(1, slots.slots // 4) :]:
            slot = slots.take()
            if slot is not None:
                taken[PAGE * page] = slot
        return taken

    def advance(self, memory: StateMemory, count: int, snapshots: Mapping[int, int]) -> None:
        """Note that `count` more tokens are computed, and file the pages they fill.

        `snapshots` are slots by the number of tokens behind which they were taken.
        """
        if self._reused is None:  # after a preemption it finds its own
            self._reused = self.computed
        self.computed += count
        if memory.has_slots:
            self._move(memory.slots, snapshots)
        while memory.has_pages and PAGE * (self._filed + 1) <= self.computed:
            start = PAGE * self._filed
            page, tokens = self.pages[self._filed], self.tokens[start : start + PAGE]
            self._serial = memory.pool.file(page, self._serial, tokens)
            self._filed += 1

    def _move(self, slots: SlotPool, snapshots: Mapping[int, int]) -> None:
        """Let the slot go that the step has read, and file what lies at ends of pages."""
        slots.release(self.slot)
        self.slot, self.target = self.target, INITIAL
        for end, slot in snapshots.items():
            slots.file(slot, self._prefix(end // PAGE))
            slots.release(slot)
        if self.computed % PAGE == 0:
            slots.file(self.slot, self._prefix(self.computed // PAGE))

    def _prefix(self, pages: int) -> bytes:
        """What the first pages' snapshot is filed under."""
        while len(self._prefixes) < pages:
            start = PAGE * len(self._prefixes)
            before = self._prefixes[-1] if self._prefixes else str(self._root).encode()
            self._prefixes.append(prefix_of(before, self.tokens[start : start + PAGE]))
        return self._prefixes[pages - 1]

    def take_tried(self, memory: StateMemory, logits: Float32, experts: Int64) -> Iterator[Update]:
        """What follows from the last token's row and those of the draft, up to the first wrong one.

        `logits` are [1 + draft, vocabulary], `experts` [layers, 1 + draft, active].
        """
        draft, self.draft = self.draft, NO_DRAFT
        for i in range(len(draft) + 1):
            update = self._taken(logits[i], experts[:, i].copy())
            wrong = i == len(draft) or update.token != draft[i]
            if wrong or update.reason is not None:
                self._trust = min(MOST, i + 2)
                yield replace(update, drafted=len(draft), accepted=i)
                return
            yield update
            self.advance(memory, 1, NONE)

    def take(
        self, start: int, hidden: Float32, logits: Float32, experts: Int64 | None
    ) -> Iterator[Update]:
        """`take_rows`, as no or one update."""
        update = self.take_rows(start, hidden, logits, experts)
        if update is not None:
            yield update

    def take_rows(
        self, start: int, hidden: Float32, logits: Float32, experts: Int64 | None
    ) -> Update | None:
        """What follows from the wanted rows, the first at position `start`.

        `hidden` and `logits` are [wanted, ...] (`logits` empty for an
        embedding), `experts` [layers, active] of the last row.
        """
        if self.request.pooling is not None:
            return self._pool(hidden)
        if self.request.score_prompt and self._scored < len(self.request.prompt):
            self._score_prompt(start, logits)
        if self.computed < len(self.tokens):
            return None
        return self._taken(logits[-1], experts)

    def _taken(self, logits: Float32, experts: Int64 | None) -> Update:
        try:
            return self._next(logits, experts)
        except HnlpuError:
            raise
        except Exception as fault:  # a library's, with what this request sent: it alone ends
            _log.exception("a token could not be taken or read")
            raise EngineFault("internal error; the server's log has more") from fault

    def end(self, reason: Reason, error: HnlpuError | None = None) -> Update:
        """The last update of a request that ends for a reason of the engine's."""
        return Update(self.ident, text=self._stop.rest(), reason=reason, error=error)

    def _pool(self, hidden: Float32) -> Update | None:
        done = self.computed == len(self.tokens)
        if self.request.pooling == "last":
            return Update(self.ident, embedding=hidden[-1].copy(), reason="stop") if done else None
        if self._sum is None:
            self._sum = np.zeros(hidden.shape[1], np.float64)
        for row in hidden:  # in order, so that chunks of any length give the same sum
            self._sum += row
        if not done:
            return None
        mean = (self._sum / len(self.tokens)).astype(np.float32)
        return Update(self.ident, embedding=mean, reason="stop")

    def _score_prompt(self, start: int, logits: Float32) -> None:
        prompt, top = self.request.prompt, self.request.top_logprobs or 0
        first = self._scored - 1 - start  # after a preemption some rows come again
        targets = prompt[self._scored : start + len(logits) + 1]
        for row, token in zip(logits[first:], targets, strict=False):
            self._scores.append(_score(row, token, top))
        self._scored += len(targets)

    def _next(self, logits: Float32, experts: Int64 | None) -> Update:
        request = self.request
        told, self._prompt_told = self._prompt_told, True
        prompt_scores = None if told else tuple(self._scores)
        if request.max_tokens == 0:
            return Update(self.ident, prompt_scores=prompt_scores, reason="length")
        token = self._sampler.take(logits, self._ends if self._is_short else ())
        score = None
        if request.top_logprobs is not None:
            score = _score(logits, token, request.top_logprobs)
        self._append(token)
        self._new += 1
        text, reason, stopped_by = self._meaning(token)
        return Update(
            self.ident, token, text, score, experts if request.trace_experts else None,
            prompt_scores, reason=reason, stopped_by=stopped_by,
            reused=(self._reused or 0) if self._new == 1 else 0,
        )  # fmt: skip

    def _append(self, token: int) -> None:
        """Room grows by a half, so that a long answer is not copied for each of its tokens."""
        count = len(self.tokens)
        if count == len(self._room):
            self._room = np.concatenate((self._room, np.empty(16 + count // 2, np.int64)))
        self._room[count] = token
        self.tokens = self._room[: count + 1]

    @property
    def _is_short(self) -> bool:
        """Whether the answer has fewer than `min_tokens`."""
        return self._new < self.request.min_tokens

    def _meaning(self, token: int) -> tuple[str, Reason | None, int | str | None]:
        """Text that `token` releases, and whether and by what it ends the request."""
        request = self.request
        if token in self._ends:
            named = request.include_stop and token in request.stop_tokens
            shown = named or request.reader is not None
            last = self._decode(token) if shown and self._decode else ""
            return self._stop.rest() + last, "stop", token
        piece = self._decode(token) if self._decode else ""
        text, met = (piece, None) if self._is_short else self._stop.push(piece)
        if met is not None:
            return text + met * request.include_stop, "stop", met
        if self._sampler.finished:
            return text + self._stop.rest(), "stop", None
        if self._new == self.request.max_tokens:
            return text + self._stop.rest(), "length", None
        return text, None, None


def _score(logits: Float32, token: int, top: int) -> TokenScore:
    log_p = log_softmax(logits[None])
    best = best_tokens(log_p, top)[0] if top else []
    return TokenScore(token, float(log_p[0, token]), tuple(best))
