"""Passes through a network, recorded once per size as a CUDA graph and played again.

A step of up to `MOST_ROWS` rows is filled up to a power of two, and so are the
pages of a sequence; a row's bits do not depend on the rows beside it, so what
fills up changes nothing.  Rows that fill up write to a page of their own.
Devices without graphs run the same filled-up step kernel by kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from hnlpu.run.kernels.gpu._attention import Places
from hnlpu.run.kernels.gpu._network import GpuNetwork, Inputs, Outputs, Tensors

MOST_ROWS = 64


@dataclass(frozen=True)
class Recording:
    """A pass that can be played again over what `inputs` then hold."""

    inputs: Inputs
    play: Callable[[], Outputs]


Recorder = Callable[[Callable[[], Outputs], Inputs], Recording]
"""Makes a recording of a pass, given how to run it and the inputs that it reads."""


class Graphs:
    """Records passes as CUDA graphs, which share one pool of memory.

    They play one after the other, and what one gives is taken before the next.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._pool: Any = None

    def __call__(self, run: Callable[[], Outputs], inputs: Inputs) -> Recording:
        """Record `run`, which reads `inputs`."""
        # once outside of the recording, where kernels may be compiled
        aside = torch.cuda.Stream(self._device)
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            run()
        torch.cuda.current_stream(self._device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            outputs = run()
        self._pool = self._pool or graph.pool()

        def play() -> Outputs:
            graph.replay()
            return outputs

        return Recording(inputs, play)


class Steps:
    """Runs rows through a network; `spare` is a page of its `states` that no sequence uses.

    `record` makes recordings: CUDA graphs on a GPU, else none unless it is given.
    """

    def __init__(
        self, network: GpuNetwork, states: Tensors, spare: int, record: Recorder | None = None
    ):
        self._network, self._states, self._spare = network, states, spare
        if record is None and network.device.type == "cuda":
            record = Graphs(network.device)
        self._record = record
        self._recordings: dict[tuple[int, int], Recording] = {}

    def run(self, inputs: Inputs) -> Outputs:
        """The network over `inputs`; what it gives is overwritten by the next run."""
        n, pages = inputs.rows, _next_power(inputs.places.tables.shape[1])
        if n > MOST_ROWS:
            return self._network.run(self._states, inputs)
        recording = self._recording(_next_power(n), pages)
        self._fill(recording.inputs, inputs)
        return _cut(recording.play(), n)

    def _recording(self, rows: int, pages: int) -> Recording:
        """The pass of this size; where nothing is recorded, one to run."""
        found = self._recordings.get((rows, pages))
        if found is not None:
            return found
        blank = self._blank(rows, pages)

        def run() -> Outputs:
            return self._network.run(self._states, blank)

        if self._record is None:
            return Recording(blank, run)
        made = self._recordings[rows, pages] = self._record(run, blank)
        return made

    def _blank(self, rows: int, pages: int) -> Inputs:
        """Rows that all write to the spare page; one sequence more than rows stays free."""
        device = self._network.device
        whole = torch.empty(0, dtype=torch.int64, device=device)
        return Inputs(
            {
                name: torch.zeros((rows, *shape), dtype=dtype, device=device)
                for name, (dtype, shape) in self._network.inputs.items()
            },
            Places(
                whole.new_full((rows + 1, pages), self._spare),
                whole.new_full((rows,), rows),
                whole.new_zeros(rows),
            ),
        )

    def _fill(self, to: Inputs, inputs: Inputs) -> None:
        """Put `inputs` into larger tensors; what is left of them is as in `_blank`."""
        n, rows = inputs.rows, to.rows
        places, where = inputs.places, to.places
        for target, values, blank in (
            (where.sequences, places.sequences, rows), (where.positions, places.positions, 0),
            *((to.values[name], values, 0) for name, values in inputs.values.items()),
        ):  # fmt: skip
            target[:n].copy_(values)
            if n < rows:
                target[n:].fill_(blank)
        where.tables.fill_(self._spare)
        where.tables[: len(places.tables), : places.tables.shape[1]].copy_(places.tables)


def _next_power(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _cut(outputs: Outputs, rows: int) -> Outputs:
    return Outputs(outputs.hidden[:rows], outputs.fired[:, :rows], outputs.infinite[:rows])
