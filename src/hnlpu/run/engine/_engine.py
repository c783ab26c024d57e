"""Continuous batching: requests come and go between steps, each step runs all that are here.

    submit ─► waiting ─► running ─► updates
                 ▲          │ one step: decode rows first, then chunks of prompts
                 └──────────┘ out of pages: the youngest waits again

What a request gets never depends on who runs beside it, on how its prompt was
cut into chunks, or on whether pages were computed, reused or computed again.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hnlpu.errors import HnlpuError, InvalidInput, NotFinite
from hnlpu.model.checkpoint import NO_LIMIT
from hnlpu.run.emulate import LanguageModel, one_blas_thread
from hnlpu.run.engine._adapter import Adapter
from hnlpu.run.engine._batch import Batched
from hnlpu.run.engine._device import CPU
from hnlpu.run.engine._draft import DraftModel
from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._loaded import LoadedAdapters
from hnlpu.run.engine._lookup import NO_DRAFT
from hnlpu.run.engine._open import (
    batched_of,
    gives_hidden,
    layout_of_model,
    memory_of,
    network_of,
)
from hnlpu.run.engine._request import Request, Result, Update, collect
from hnlpu.run.engine._rows import LaidOut, Planned, lay_out
from hnlpu.run.engine._sequence import Sequence

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

UNLIMITED_CONTEXT = 2**17
"""Longest prompt with its answer, where neither the model nor the limits name one."""


@dataclass(frozen=True)
class Limits:
    """Sizes of an engine.

    `context` is the longest prompt with its answer in tokens (default: the
    model's position limit, UNLIMITED_CONTEXT where it has none, or what the
    cache holds if that is less); `sequences` run at once, `rows` tokens at
    most in one step, `cache_bytes` go to states: keys and values, or what
    else the network keeps.
    """

    context: int | None = None
    sequences: int = 256
    rows: int = 512
    cache_bytes: int = 2**30

    def check(self) -> None:
        """Raises InvalidInput."""
        for name in ("context", "sequences", "rows", "cache_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"`{name}`: must be at least 1, not {value}")


@dataclass
class Counters:
    """What an engine has done so far."""

    steps: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    new_tokens: int = 0
    rows: int = 0
    preemptions: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0


class Engine:
    """Runs requests against a model, a step at a time; for one thread (see `Runner` for more).

    `adapters` are those that requests may name.  `device` is where the layers
    run: cpu, cuda, cuda:N, or interpreter (see `open_device`).  `draft` is a second model that
    proposes tokens for requests with `speculation`.

    Raises InvalidInput for limits that make no sense, a model in float32,
    whose sums would depend on the batch, or a device that is not there;
    UnsupportedArchitecture for a device of a family that has none;
    ToolMissing where it needs torch and triton.
    """

    def __init__(
        self,
        model: LanguageModel,
        limits: Limits | None = None,
        adapters: Mapping[str, Adapter] | None = None,
        device: str = CPU,
        draft: LanguageModel | None = None,
    ):
        if adapters:
            network_of(model)  # refuses numerics that have none
        self._draft = None if draft is None else DraftModel(draft, model)
        self.adapters = LoadedAdapters(adapters or {})
        self.limits = limits or Limits()
        self.limits.check()
        self.model = model
        if adapters and device != CPU:
            raise InvalidInput(
                f"`device` {device}: adapters run beside the wires on the CPU; leave one out"
            )
        layout = layout_of_model(model)
        longest = self._longest()
        limits = self.limits
        self.memory = memory_of(layout, limits.cache_bytes, limits.sequences, longest, device)
        pages = self.memory.pool.pages
        self._batched: Batched = batched_of(model, device, pages)
        self.context = min(longest, PAGE * pages) if layout.paged else longest
        self.counters = Counters()
        self._ids = itertools.count()
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._sequences: dict[int, Sequence] = {}

    def _longest(self) -> int:
        """The longest sequence that the limits allow."""
        most = self.model.transformer.architecture.max_position_embeddings
        if most == NO_LIMIT:
            return self.limits.context or UNLIMITED_CONTEXT
        return min(self.limits.context or most, most)

    def wrap(self, control: Callable[[Batched], Batched]) -> None:
        """Let something stand between this engine and its model, as the control of a test."""
        self._batched = control(self._batched)

    @property
    def waiting(self) -> int:
        """Requests that wait for their first step or, preempted, for another."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that take part in the next step."""
        return len(self._running)

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        return bool(self._sequences)

    def check(self, request: Request) -> None:
        """Raises InvalidInput for a request that this engine cannot serve."""
        self.model.transformer.check_tokens(request.prompt)
        request.check(self.model.vocab_size, self.context)
        if request.adapter is not None:
            network_of(self.model)
            self.adapters.key(request.adapter)
        if request.pooling is not None and not gives_hidden(self.model):
            raise InvalidInput(
                "embeddings: the network has no hidden states that a last matrix turns into logits; "
                "ask for completions"
            )

    def submit(self, request: Request, ident: int | None = None) -> int:
        """Take in a request; the number that its updates carry.  Raises InvalidInput.

        `ident` gives it a number of the caller's, who then must number them all.
        """
        self.check(request)
        if request.adapter is not None:
            request = replace(request, adapter=self.adapters.key(request.adapter))
        ends = self.model.end_tokens
        ident = next(self._ids) if ident is None else ident
        sequence = Sequence(ident, request, self.model.tokenizer, ends)
        self._sequences[ident] = sequence
        self._waiting.append(sequence)
        return ident

    def cancel(self, ident: int) -> None:
        """End a request at the next step; one that has ended already is left alone."""
        if ident in self._sequences:
            self._sequences[ident].cancelled = True

    def step(self) -> list[Update]:
        """Run every request that has room one step further; what is new."""
        updates = [self._end(s.end("cancelled")) for s in self._all() if s.cancelled]
        self.adapters.forget({s.request.adapter for s in self._all()})
        plan = self._plan()
        if not plan:
            return updates
        self.counters.steps += 1
        apart: dict[str | None, list[tuple[Sequence, int]]] = {}
        for part in plan:  # each adapter's requests go through a network of their own
            apart.setdefault(part[0].request.adapter, []).append(part)
        with one_blas_thread():
            for together in apart.values():
                updates += self._run_or_tell(together)
        return updates

    def abandon(self, error: HnlpuError) -> list[Update]:
        """End every request with `error`."""
        return [self._end(s.end("error", error)) for s in self._all()]

    def run(self, requests: Iterable[Request]) -> list[Result]:
        """Serve requests to the end; results in their order."""
        told: dict[int, list[Update]] = {self.submit(request): [] for request in requests}
        while self.busy:
            for update in self.step():
                told[update.request].append(update)
        return [collect(updates) for updates in told.values()]

    def _all(self) -> list[Sequence]:
        return list(self._sequences.values())

    def _end(self, update: Update) -> Update:
        """Forget the request that `update` ends."""
        sequence = self._sequences.pop(update.request)
        if self._draft is not None:
            self._draft.forget(sequence.ident)
        sequence.drop(self.memory)
        if sequence in self._running:
            self._running.remove(sequence)
        else:
            self._waiting.remove(sequence)
        return update

    def _plan(self) -> list[tuple[Sequence, int]]:
        """Who runs how many tokens in this step, with pages for them."""
        budget = self.limits.rows
        spare = budget - len(self._running)  # rows that no running answer needs
        plan: list[tuple[Sequence, int]] = []
        # a token of a running answer comes before a piece of a prompt; no more run than there
        # are rows, so each has one in every step
        for sequence in sorted(self._running, key=lambda s: s.pending > 1):
            if budget == 0:
                break
            if sequence not in self._running:
                continue  # preempted for one of the others
            count = min(sequence.pending, budget)
            if self._reserve(sequence, count, plan):
                tried = sequence.propose(self.memory, min(spare, budget - count), self._draft)
                plan.append((sequence, count + tried))
                budget -= count + tried
                spare -= tried
        while budget and self._waiting and self._has_room():
            sequence = self._waiting[0]
            saved = sequence.reuse(self.memory, self._root(sequence))
            if self.memory.has_pages and sequence.pending > PAGE * self.memory.pool.available:
                sequence.drop(self.memory)
                break
            count = min(sequence.pending, budget)
            sequence.reserve(self.memory, count)
            self._running.append(self._waiting.popleft())
            self.counters.reused_tokens += saved
            plan.append((sequence, count))
            budget -= count
        return plan

    def _has_room(self) -> bool:
        """Whether one more may run: of what is kept whole, each holds two slots."""
        more = len(self._running) + 1
        slots = self.memory.slots.slots if self.memory.has_slots else 2 * more
        return more <= self.limits.sequences and 2 * more <= slots

    def _root(self, sequence: Sequence) -> int:
        """The serial that the first page is filed under: pages depend on the adapter."""
        return self.adapters.root(sequence.request.adapter)

    def _reserve(self, sequence: Sequence, count: int, plan: list[tuple[Sequence, int]]) -> bool:
        """Get pages for `count` tokens, from the youngest if there are none; False: not now."""
        while not sequence.reserve(self.memory, count):
            planned = {id(s) for s, _ in plan}
            youngest = next((s for s in reversed(self._running) if id(s) not in planned), sequence)
            youngest.drop(self.memory)
            self._running.remove(youngest)
            self._waiting.appendleft(youngest)
            self.counters.preemptions += 1
            if youngest is sequence:
                return False
        return True

    def _run_or_tell(self, plan: list[tuple[Sequence, int]]) -> list[Update]:
        """`_run`, and who made the model overflow is told so."""
        try:
            return self._run(plan)
        except NotFinite as error:
            if any(
                len(s.draft) for s, _ in plan
            ):  # maybe what was tried, and would never have come
                return self._run_or_tell([_untried(*part) for part in plan])
            if len(plan) == 1:
                return [self._end(plan[0][0].end("error", error))]
        # whose? each alone gives the same bits
        return [update for part in plan for update in self._run_or_tell([part])]

    def _run(self, plan: list[tuple[Sequence, int]]) -> list[Update]:
        planned = [Planned(s, count, s.take_snapshots(self.memory, count)) for s, count in plan]
        try:
            laid, hidden, logits, fired = self._compute(planned)
        except BaseException:  # whatever it was, no sequence holds these yet
            for slot in (slot for p in planned for slot in p.snapshots.values()):
                self.memory.slots.release(slot)
            raise
        self.counters.rows += len(laid.rows.tokens)
        updates: list[Update] = []
        ends = itertools.accumulate(count for _, count in plan)
        for part, span, end in zip(planned, laid.spans, ends, strict=True):
            sequence, count, snapshots = part
            start = sequence.computed + count - len(span)
            before = sequence.computed
            tried = len(sequence.draft)
            sequence.advance(self.memory, count - tried, snapshots)
            prompt = len(sequence.request.prompt)
            self.counters.prompt_tokens += max(0, min(sequence.computed, prompt) - before)
            if not span:
                continue
            mine = slice(span.start, span.stop)
            if tried:
                told = sequence.take_tried(self.memory, logits[mine], fired[:, end - count : end])
            else:
                told = sequence.take(start, hidden[mine], logits[mine], fired[:, end - 1].copy())
            updates += self._told(sequence, told)
        return updates

    def _told(self, sequence: Sequence, told: Iterable[Update]) -> list[Update]:
        """What a sequence tells, counted; its end is noted, and so is what kept it from telling."""
        updates: list[Update] = []
        try:
            for update in told:
                updates.append(update)  # noqa: PERF402  those before a failure count
        except HnlpuError as error:  # a constraint that nothing fits
            updates.append(sequence.end("error", error))
        for update in updates:
            self.counters.new_tokens += update.token is not None
            self.counters.drafted_tokens += update.drafted
            self.counters.accepted_tokens += update.accepted
            if update.reason is not None:
                self._end(update)
        return updates

    def _compute(self, plan: list[Planned]) -> tuple[LaidOut, Float32, Float32, Int64]:
        """A plan's rows, and of the wanted ones hidden states and logits; experts of all."""
        name = plan[0].sequence.request.adapter
        adapter = None if name is None else self.adapters.by_key[name]
        laid = lay_out(plan, adapter)
        hidden, fired = self._batched.forward(laid.rows, self.memory, laid.wanted)
        asking = [(p.sequence.request, span) for p, span in zip(plan, laid.spans, strict=True)]
        scored = [i for request, span in asking if request.pooling is None for i in span]
        logits = np.empty((len(laid.wanted), self.model.vocab_size if scored else 0), np.float32)
        for first, part in self._batched.logits_in_pieces(hidden[scored], adapter):
            logits[scored[first : first + len(part)]] = part
        return laid, hidden, logits, fired


def _untried(sequence: Sequence, count: int) -> tuple[Sequence, int]:
    """A sequence's part of a plan without the tokens that it would try."""
    count -= len(sequence.draft)
    sequence.draft = NO_DRAFT
    return sequence, count
