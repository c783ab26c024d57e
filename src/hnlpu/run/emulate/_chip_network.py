"""A network of a build in chip numerics, or the one line in which it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.network import Network, all_steps, constant_steps, done_at_once, op_name, ops
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate._chip_numerics import ChipNumerics
from hnlpu.run.emulate._chip_spans import chip_spans
from hnlpu.run.emulate._fold import folded
from hnlpu.run.emulate._interpreter import Interpreter

Array = npt.NDArray[Any]


Numbers = Callable[[Network, ChipConstants, Mapping[str, Array]], ChipNumerics]
"""What makes numerics of a network without its constant steps, and of what these made."""


def chip_interpreter(
    network: Network, constants: ChipConstants, where: Path, numbers: Numbers = ChipNumerics
) -> Interpreter:
    """Runs a checked network, bit by bit as docs/vector-unit.md has it, in `numbers`.

    Raises UnsupportedArchitecture for a step that chip numerics do not define, InvalidInput for
    a factor on RoPE beyond the unit, and NotFinite for a parameter that is NaN or infinite.
    """
    _refuse_undefined(network, constants.bits, where)
    network, made = folded(network, constants)
    numerics = numbers(network, constants, made)
    found = Interpreter(network, constants, chip_spans(numerics), numerics)
    done = {part.spans[0].name for part in found.at_once}
    for span in done_at_once(network).values():
        if span.name not in done:
            raise _refusal(where, f"{span.name} shares a state with other steps")
    return found


def _refuse_undefined(network: Network, bits: int, where: Path) -> None:
    at_once = done_at_once(network)
    done = at_once.keys() | constant_steps(network).keys()
    loose = [step for n, step in enumerate(network.steps) if n not in done]
    for step in all_steps(loose):
        name = f"{op_name(step.op)} {step.outs[0] if step.outs else ''}".strip()
        match step.op:
            case ops.Sum(wide=True) | ops.Dot(wide=True):
                raise _refusal(where, f"{name} leaves a sum wide outside of a norm or a softmax")
            case ops.Table("log"):
                raise _refusal(where, f"{name} is a logarithm")
            case ops.Quantize(bits=own) if own not in (None, bits):
                raise _refusal(where, f"{name} asks for {own} bits, the build has {bits}")


def _refusal(where: Path, what: str) -> UnsupportedArchitecture:
    return UnsupportedArchitecture(
        f"{where}: chip numerics: {what}, which they do not define; use `numerics` float"
    )
