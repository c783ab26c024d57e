"""The transformer on a device: rows in as arrays, hidden states out, all between on the GPU.

    build ─► packed digits, embedding, pages on the device ─► Triton kernels of `kernels.gpu`

The same arithmetic as `BatchedTransformer`, in the same order.  "interpreter" is
a device of every machine: Triton's own interpreter, slow, on the CPU, for
whoever wants to compare.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hnlpu.errors import DamagedBuild, InvalidInput, NotFinite, ToolMissing
from hnlpu.model.checkpoint import FINAL_NORM, UNEMBEDDING, layer_prefix
from hnlpu.run.emulate import HardwiredWeights, Transformer
from hnlpu.run.engine._adapter import Adapter
from hnlpu.run.engine._batch import Rows
from hnlpu.run.engine._forward import Turns
from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._memory import Memory
from hnlpu.run.kernels import NOT_FINITE, Numbers

if TYPE_CHECKING:
    import torch

    from hnlpu.run.kernels.gpu import GpuModel, GpuStack

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


class DeviceTransformer:
    """A hardwired transformer on `device` with `pages` pages of keys and values there: a `Batched`.

    Raises InvalidInput for a model in float32, DamagedBuild.
    """

    def __init__(self, transformer: Transformer, device: str, pages: int):
        where = open_device(device)
        import torch

        from hnlpu.run.kernels.gpu import Cache, Steps

        weights = transformer.weights
        assert isinstance(weights, HardwiredWeights)
        assert weights.activation_bits is not None
        self.architecture = a = transformer.architecture
        self._turns = Turns(a)
        self._model = load_gpu_model(weights, where)
        shape = (a.num_hidden_layers, pages + 1, a.num_key_value_heads)
        cache = Cache(
            torch.zeros((*shape, a.head_dim, PAGE), dtype=torch.float32, device=where),
            torch.zeros((*shape, PAGE, a.head_dim), dtype=torch.float32, device=where),
        )
        self._steps = Steps(self._model, cache, pages)

    def forward(self, rows: Rows, memory: Memory, wanted: Int64) -> tuple[Float32, Int64]:
        """Normalised hidden states of the rows `wanted`, and the experts that fired for all.

        As `BatchedTransformer.forward`; `memory` says which pages are whose, their
        contents lie on the device.  Raises NotFinite.
        """
        import torch

        from hnlpu.run.kernels.gpu import Inputs, Places

        device = self._model.device
        tokens, positions, sequences, tables, cos, sin = (
            torch.from_numpy(np.ascontiguousarray(x)).to(device)
            for x in (
                rows.tokens, rows.positions, rows.sequences, rows.tables,
                *self._turns.at(rows.positions),
            )
        )  # fmt: skip
        inputs = Inputs(tokens, Places(tables, sequences, positions), cos, sin)
        with self._here(), _overflow_is_no_news():
            outputs = self._steps.run(inputs)
            if bool(outputs.infinite.any()):
                raise NotFinite(NOT_FINITE)
            hidden = outputs.hidden[torch.from_numpy(wanted).to(device)]
            return hidden.cpu().numpy(), outputs.fired.cpu().numpy()

    def _here(self) -> AbstractContextManager[object]:
        """Kernels start on a thread's own device, which is the first one until it is told."""
        import torch

        device = self._model.device
        return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

    def logits_in_pieces(
        self, hidden: Float32, adapter: Adapter | None
    ) -> Iterator[tuple[int, Float32]]:
        """Logits of many rows as (first row, logits) pieces of bounded size.  Raises NotFinite.

        There is no `adapter` here: the engine has refused it.
        """
        assert adapter is None
        import torch

        from hnlpu.run.kernels.gpu import unembed

        step = max(1, LOGITS_AT_ONCE // self.architecture.vocab_size)
        for start in range(0, len(hidden), step):
            part = torch.tensor(hidden[start : start + step], device=self._model.device)
            with self._here(), _overflow_is_no_news():
                logits = unembed(self._model, part).cpu().numpy()
            if not np.isfinite(logits).all():
                raise NotFinite(
                    "a logit is NaN or infinite; the checkpoint's values leave float32's range"
                )
            yield start, logits


def load_gpu_model(weights: HardwiredWeights, device: torch.device) -> GpuModel:
    """Copy a build to a device as it is packed.  Raises DamagedBuild."""
    import torch

    from hnlpu.run.kernels.gpu import GpuLayer, GpuModel, GpuStack, Spread

    a, bits = weights.architecture, weights.activation_bits
    assert bits is not None

    def stack(name: str) -> GpuStack:
        found = weights.stack(name)
        digits = [(d.codes, d.exponents) for d in found.digits]
        try:
            return GpuStack.of(digits, found.row_exponents, found.biases, device)
        except Spread:
            raise DamagedBuild(
                f"{weights.directory}: exponents of a row of {name} spread further than a build "
                "may hold; 'hnlpu verify' names it"
            ) from None

    def vector(name: str) -> torch.Tensor:
        return torch.tensor(weights.vector(name), device=device)

    layers = []
    for number in range(a.num_hidden_layers):
        prefix = layer_prefix(number)
        qkv = GpuStack.below_each_other(
            [stack(f"{prefix}.self_attn.{name}_proj") for name in ("q", "k", "v")]
        )
        layers.append(
            GpuLayer(
                qkv, stack(prefix + ".self_attn.o_proj"), stack(prefix + ".mlp.router"),
                stack(prefix + ".mlp.experts.gate_up_proj"),
                stack(prefix + ".mlp.experts.down_proj"),
                vector(prefix + ".input_layernorm.weight"),
                vector(prefix + ".post_attention_layernorm.weight"),
                vector(prefix + ".self_attn.sinks"), a.window(number) or 0,
            )
        )  # fmt: skip
    numbers = Numbers(
        a.num_attention_heads, a.num_key_value_heads, a.head_dim, a.num_experts_per_tok, bits,
        a.rms_norm_eps, a.swiglu_alpha, a.swiglu_limit,
    )  # fmt: skip
    table = np.ascontiguousarray(weights.embedding())
    if table.dtype == np.uint16:  # bfloat16, which NumPy lacks
        embedding = torch.tensor(table.view(np.int16)).view(torch.bfloat16).to(device)
    else:
        embedding = torch.tensor(table).to(device)
    return GpuModel(embedding, layers, vector(FINAL_NORM), stack(UNEMBEDDING), numbers)
