"""A network on a device: rows in as arrays, hidden states out, all between on the GPU.

    build ─► packed digits, tables, pages on the device ─► Triton kernels of `kernels.gpu`

The same arithmetic as the C kernels, in the same order.  "interpreter" is a device of every
machine: Triton's own interpreter, slow, on the CPU, for whoever wants to compare.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput, NotFinite, ToolMissing
from hnlpu.model.network import Network
from hnlpu.run.emulate import HardwiredConstants
from hnlpu.run.engine._adapter import Adapter
from hnlpu.run.engine._batch import Rows
from hnlpu.run.engine._device_load import load_network
from hnlpu.run.engine._layout import layout_of
from hnlpu.run.engine._memory import StateMemory
from hnlpu.run.kernels import NOT_FINITE

if TYPE_CHECKING:
    import torch

CPU, INTERPRETER = "cpu", "interpreter"
LOGITS_AT_ONCE = 2**24  # logits that leave the device together
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def open_device(name: str) -> torch.device:
    """The device of this name: cuda, cuda:1, ... or interpreter.

    Raises InvalidInput where there is none, ToolMissing without torch or triton.
    """
    if name != INTERPRETER and name.split(":")[0] != "cuda":
        raise InvalidInput(f"`device` {name}: must be cpu, cuda, cuda:N or interpreter")
    for package in ("torch", "triton"):
        if importlib.util.find_spec(package) is None:
            raise ToolMissing(
                f"`device` {name} needs the package {package}; install it: pip install 'hnlpu[gpu]'"
            )
    if name == INTERPRETER:
        # Triton asks once, when it is loaded
        if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
            raise InvalidInput(
                "`device` interpreter: Triton is loaded already, for a GPU; set "
                "TRITON_INTERPRET=1 before"
            )
        os.environ["TRITON_INTERPRET"] = "1"
    import torch

    if name == INTERPRETER:
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidInput(f"`device` {name}: must be cpu, cuda, cuda:N or interpreter") from None
    if not torch.cuda.is_available():
        raise InvalidInput(f"`device` {name}: torch {torch.__version__} finds no GPU here")
    if (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput(f"`device` {name}: there are {torch.cuda.device_count()} GPUs, from 0")
    return device


def _overflow_is_no_news() -> AbstractContextManager[None]:
    """The interpreter computes with NumPy, which keeps quiet: `NotFinite` tells, in one line."""
    return np.errstate(over="ignore", invalid="ignore")


class DeviceNetwork:
    """A network over the metal of a build, on `device`, with `pages` pages of states: a `Batched`.

    `matrix` makes logits of what `body` gives, if one does.  Raises UnsupportedArchitecture for a
    step that no kernel does, before anything is copied; InvalidInput for a device that is not
    there, ToolMissing and DamagedBuild.
    """

    def __init__(
        self, body: Network, matrix: str | None, constants: HardwiredConstants, device: str,
        pages: int,
    ):  # fmt: skip
        where = open_device(device)
        import torch

        from hnlpu.run.kernels.gpu import Steps

        self._loaded = load_network(body, matrix, constants, where)
        layout, self._matrix = layout_of(body), matrix
        states = {
            state.name: torch.zeros((pages + 1, *state.shape), dtype=torch.float32, device=where)
            for state in layout.paged
        }
        self._steps = Steps(self._loaded.network, states, pages)
        self._device = where

    def forward(self, rows: Rows, memory: StateMemory, wanted: Int64) -> tuple[Float32, Int64]:
        """Hidden states of the rows `wanted`, and the experts that fired for all.

        `memory` says which pages are whose, their contents lie on the device.  Raises NotFinite.
        """
        import torch

        from hnlpu.run.kernels.gpu import Inputs, Places

        places = Places(*map(self._there, (rows.tables, rows.sequences, rows.positions)))
        values = self._loaded.values(rows.tokens, rows.positions)
        inputs = Inputs({name: self._there(x) for name, x in values.items()}, places)
        with self._here(), _overflow_is_no_news():
            outputs = self._steps.run(inputs)
            if bool(outputs.infinite.any()):
                raise NotFinite(NOT_FINITE)
            hidden = outputs.hidden[torch.from_numpy(wanted).to(self._device)]
            return hidden.cpu().numpy(), outputs.fired.cpu().numpy()

    def _there(self, x: npt.NDArray[Any]) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.array(x)).to(self._device)

    def _here(self) -> AbstractContextManager[object]:
        """Kernels start on a thread's own device, which is the first one until it is told."""
        import torch

        device = self._device
        return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

    def logits_in_pieces(
        self, hidden: Float32, adapter: Adapter | None
    ) -> Iterator[tuple[int, Float32]]:
        """Logits of many rows as (first row, logits) pieces of bounded size.  Raises NotFinite.

        There is no `adapter` here: the engine has refused it.
        """
        assert adapter is None
        step = max(1, LOGITS_AT_ONCE // self._loaded.logits_of(self._matrix))
        for start in range(0, len(hidden), step):
            logits = hidden[start : start + step]
            if self._matrix is not None:
                with self._here(), _overflow_is_no_news():
                    made = self._loaded.network.project(self._matrix, self._there(logits))
                    logits = made.cpu().numpy()
            if not np.isfinite(logits).all():
                raise NotFinite(
                    "a logit is NaN or infinite; the checkpoint's values leave float32's range"
                )
            yield start, logits
