"""Passes through the layers, recorded once per size as a CUDA graph and played again.

A step of up to `MOST_ROWS` rows is filled up to a power of two, and so are the
pages of a sequence; a row's bits do not depend on the rows beside it, so what
fills up changes nothing.  Rows that fill up write to a page of their own.
Devices without graphs run the same filled-up step kernel by kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from hnlpu.kernels.gpu._attention import Places
from hnlpu.kernels.gpu._layers import Cache, GpuModel, Inputs, Outputs, run_layers

MOST_ROWS = 64


@dataclass(frozen=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: Inputs
    outputs: Outputs


class Steps:
    """Runs rows through a model; `spare` is a page of the cache that no sequence uses."""

    def __init__(self, model: GpuModel, cache: Cache, spare: int):
        self._model, self._cache, self._spare = model, cache, spare
        self._recorded: dict[tuple[int, int], _Recorded] = {}
        self._pool: Any = None  # the memory that recordings share

    def run(self, inputs: Inputs) -> Outputs:
        """`run_layers` of `inputs`; what it gives is overwritten by the next run."""
        n, pages = len(inputs.tokens), _next_power(inputs.places.tables.shape[1])
        if n > MOST_ROWS:
            return run_layers(self._model, self._cache, inputs)
        rows = _next_power(n)
        if self._model.device.type != "cuda":
            filled = self._blank(rows, pages, inputs)
            self._fill(filled, inputs)
            return _cut(run_layers(self._model, self._cache, filled), n)
        recorded = self._recorded.get((rows, pages))
        if recorded is None:
            recorded = self._record(self._blank(rows, pages, inputs))
            self._recorded[rows, pages] = recorded
        self._fill(recorded.inputs, inputs)
        recorded.graph.replay()
        return _cut(recorded.outputs, n)

    def _blank(self, rows: int, pages: int, like: Inputs) -> Inputs:
        """Rows that all write to the spare page; one sequence more than rows stays free."""
        device, half = self._model.device, like.cos.shape[1]
        whole = torch.empty(0, dtype=torch.int64, device=device)
        return Inputs(
            whole.new_zeros(rows),
            Places(
                whole.new_full((rows + 1, pages), self._spare),
                whole.new_full((rows,), rows),
                whole.new_zeros(rows),
            ),
            torch.ones((rows, half), device=device), torch.zeros((rows, half), device=device),
        )  # fmt: skip

    def _fill(self, to: Inputs, inputs: Inputs) -> None:
        """Put `inputs` into larger tensors; what is left of them is as in `_blank`."""
        n, rows = len(inputs.tokens), len(to.tokens)
        places, where = inputs.places, to.places
        for target, values, blank in (
            (to.tokens, inputs.tokens, 0), (where.sequences, places.sequences, rows),
            (where.positions, places.positions, 0), (to.cos, inputs.cos, 1.0),
            (to.sin, inputs.sin, 0.0),
        ):  # fmt: skip
            target[:n].copy_(values)
            if n < rows:
                target[n:].fill_(blank)
        where.tables.fill_(self._spare)
        where.tables[: len(places.tables), : places.tables.shape[1]].copy_(places.tables)

    def _record(self, inputs: Inputs) -> _Recorded:
        """Record a pass over rows of this size."""
        device = self._model.device
        # once outside of the recording, where kernels may be compiled
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            run_layers(self._model, self._cache, inputs)
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # one pool for all: they play one after the other, and what one gives is taken before
        with torch.cuda.graph(graph, pool=self._pool):
            outputs = run_layers(self._model, self._cache, inputs)
        self._pool = self._pool or graph.pool()
        return _Recorded(graph, inputs, outputs)


def _next_power(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _cut(outputs: Outputs, rows: int) -> Outputs:
    return Outputs(outputs.hidden[:rows], outputs.fired[:, :rows], outputs.infinite[:rows])
