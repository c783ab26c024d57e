"""Passes through the layers, recorded once per size as a CUDA graph and played again.

A step of up to `MOST_ROWS` rows is filled up to a power of two, and so are the
pages of a sequence; a row's bits do not depend on the rows beside it, so what
fills up changes nothing.  Rows that fill up write to a page of their own.
Devices without graphs run the same filled-up step kernel by kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    def run(self, inputs: Inputs) -> Outputs:
        """`run_layers` of `inputs`; what it gives is overwritten by the next run."""
        rows = len(inputs.tokens)
        if rows > MOST_ROWS:
            return run_layers(self._model, self._cache, inputs)
        filled = self._fill(inputs)
        if self._model.device.type != "cuda":
            return _cut(run_layers(self._model, self._cache, filled), rows)
        size = len(filled.tokens), filled.places.tables.shape[1]
        recorded = self._recorded.get(size)
        if recorded is None:
            recorded = self._recorded[size] = self._record(filled)
        for to, what in zip(_tensors(recorded.inputs), _tensors(filled), strict=True):
            to.copy_(what)
        recorded.graph.replay()
        return _cut(recorded.outputs, rows)

    def _fill(self, inputs: Inputs) -> Inputs:
        """As many rows, sequences and pages as the next power of two."""
        n, places = len(inputs.tokens), inputs.places
        rows, pages = _next_power(n), _next_power(places.tables.shape[1])
        tables = torch.full(
            (rows + 1, pages), self._spare, dtype=torch.int64, device=self._model.device
        )
        tables[: len(places.tables), : places.tables.shape[1]] = places.tables
        spare_sequence = rows  # at most one sequence a row, so the last one is free
        return Inputs(
            _filled(inputs.tokens, rows, 0),
            Places(
                tables,
                _filled(places.sequences, rows, spare_sequence),
                _filled(places.positions, rows, 0),
            ),
            _filled(inputs.cos, rows, 1.0),
            _filled(inputs.sin, rows, 0.0),
        )

    def _record(self, example: Inputs) -> _Recorded:
        """Record a pass of this size, with rows that all write to the spare page."""
        rows, pages = len(example.tokens), example.places.tables.shape[1]
        device = self._model.device
        inputs = Inputs(
            torch.zeros_like(example.tokens),
            Places(
                torch.full((rows + 1, pages), self._spare, dtype=torch.int64, device=device),
                torch.zeros_like(example.places.sequences),
                torch.zeros_like(example.places.positions),
            ),
            torch.ones_like(example.cos), torch.zeros_like(example.sin),
        )  # fmt: skip
        # once outside of the recording, where kernels may be compiled
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            run_layers(self._model, self._cache, inputs)
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = run_layers(self._model, self._cache, inputs)
        return _Recorded(graph, inputs, outputs)


def _next_power(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _filled(values: torch.Tensor, rows: int, with_: float) -> torch.Tensor:
    filled = values.new_full((rows, *values.shape[1:]), with_)
    filled[: len(values)] = values
    return filled


def _tensors(inputs: Inputs) -> tuple[torch.Tensor, ...]:
    p = inputs.places
    return inputs.tokens, p.tables, p.sequences, p.positions, inputs.cos, inputs.sin


def _cut(outputs: Outputs, rows: int) -> Outputs:
    return Outputs(outputs.hidden[:rows], outputs.fired[:, :rows], outputs.infinite[:rows])
