"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hnlpu.run.engine import Snapshot, Update

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self, snapshot: Callable[[], Snapshot | None]):
        self.registry = CollectorRegistry()
        self._http = Counter(
            "hnlpu_http_requests", "Requests by path and status", ["path", "status"],
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "hnlpu_http_request_seconds", "Time from the request's first byte to the answer's last",
            ["path"], buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._first = Histogram(
            "hnlpu_first_token_seconds", "Time until a request's first token",
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._ended = Counter(
            "hnlpu_sequences", "Sequences that ended, by reason", ["reason"], registry=self.registry
        )
        self.registry.register(_Engine(snapshot))

    def http(self, path: str, status: int, seconds: float) -> None:
        """An answer has been sent."""
        self._http.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def first_token(self, seconds: float) -> None:
        """A request has got its first token."""
        self._first.observe(seconds)

    def count(self, update: Update) -> None:
        """An update has come."""
        if update.reason is not None:
            self._ended.labels(update.reason).inc()

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class _Engine:
    """The engine's own numbers, read when asked for."""

    def __init__(self, snapshot: Callable[[], Snapshot | None]):
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        s = self._snapshot()
        if s is None:
            return
        c = s.counters
        for name, text, value in (
            ("hnlpu_engine_steps", "Steps of the engine", c.steps),
            ("hnlpu_engine_rows", "Tokens run through the layers", c.rows),
            ("hnlpu_prompt_tokens", "Tokens of prompts computed", c.prompt_tokens),
            ("hnlpu_reused_tokens", "Tokens of prompts found in the cache", c.reused_tokens),
            ("hnlpu_generated_tokens", "Tokens generated", c.new_tokens),
            ("hnlpu_draft_tokens", "Tokens looked up and tried", c.drafted_tokens),
            ("hnlpu_accepted_tokens", "Tokens tried that were right", c.accepted_tokens),
            ("hnlpu_preemptions", "Sequences that had to give up their pages", c.preemptions),
        ):
            yield CounterMetricFamily(name, text, value)
        for name, text, value in (
            ("hnlpu_waiting_sequences", "Sequences that wait for their turn", s.waiting),
            ("hnlpu_running_sequences", "Sequences in the batch", s.running),
            ("hnlpu_cache_pages_used", "Pages of the key-value cache in use", s.pages_in_use),
            ("hnlpu_cache_pages", "Pages of the key-value cache", s.pages),
            ("hnlpu_cache_slots_used", "Slots of states kept whole in use", s.slots_in_use),
            ("hnlpu_cache_slots", "Slots of states kept whole", s.slots),
        ):
            yield GaugeMetricFamily(name, text, value)
