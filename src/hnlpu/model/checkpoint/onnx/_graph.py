"""`Graph`: values, constants and tensors while the nodes of an ONNX graph are walked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.checkpoint._part import Box
from hnlpu.model.network import Builder, Cut, Matrix, Role, Tensor, Value
from hnlpu.model.network.composites import dense

Array = npt.NDArray[Any]
Operand = Value | Array
"""What a node takes: a value of the network, or a constant."""


@dataclass(frozen=True)
class Node:
    """An operator with its attributes, the names of what it takes and what it gives."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, node: Any) -> Node:
        """A node as the package onnx has it."""
        from onnx.helper import get_attribute_value

        attributes = {a.name: get_attribute_value(a) for a in node.attribute}
        return cls(node.op_type, node.name, tuple(node.input), tuple(node.output), attributes)

    def get(self, name: str, default: Any) -> Any:
        """An attribute, text as such."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value


@dataclass(frozen=True)
class OnnxTensor:
    """A constant of the file, in the order in which a matrix or a parameter has it."""

    name: str
    array: Array
    file: Path
    dtype: str = "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        return self.array.shape

    def read(self, box: Box) -> Array:
        """The numbers of a part."""
        return np.asarray(self.array[box])


def plain_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without leading axes of length 1; one axis stays."""
    rows = shape
    while len(rows) > 1 and rows[0] == 1:
        rows = rows[1:]
    return rows


@dataclass
class Graph:
    """A graph that is being walked: `values` depend on inputs, `constants` do not.

    `opset` is the version of the operators.
    """

    file: Path
    opset: int
    builder: Builder = field(default_factory=lambda: Builder("onnx"))
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    tensors: dict[str, OnnxTensor] = field(default_factory=dict)

    def refusal(self, node: Node, why: str) -> UnsupportedArchitecture:
        """What is said of a node that is not read."""
        named = f" (node {node.name})" if node.name else ""
        return UnsupportedArchitecture(f"{self.file}: operator {node.operator}{named} {why}")

    def legal(self, name: str) -> str:
        """A name as networks may have it."""
        return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".-") or "x"

    def take(self, node: Node, number: int) -> Operand:
        """What a node takes at a place; raises UnsupportedArchitecture where that is nothing."""
        found = self.optional(node, number)
        if found is None:
            raise self.refusal(node, f"lacks its input {number}")
        return found

    def optional(self, node: Node, number: int) -> Operand | None:
        """The same, or None."""
        name = node.inputs[number] if number < len(node.inputs) else ""
        if not name:
            return None
        return self.values[name] if name in self.values else self.constants.get(name)

    def value(self, node: Node, number: int) -> Value:
        """A value that depends on inputs."""
        found = self.take(node, number)
        if not isinstance(found, Value):
            raise self.refusal(node, "works on constants alone, in a way that is not read")
        return found

    def constant(self, node: Node, number: int) -> Array:
        """A constant; raises UnsupportedArchitecture for a value that is computed."""
        found = self.take(node, number)
        if isinstance(found, Value):
            raise self.refusal(node, f"has its input {number} computed; it must be constant")
        return found

    def numbers(self, node: Node, number: int, attribute: str) -> tuple[int, ...] | None:
        """Whole numbers that stand in an input or, in older files, in an attribute."""
        if attribute in node.attributes:
            return tuple(int(n) for n in node.attributes[attribute])
        found = self.optional(node, number)
        if found is None:
            return None
        return tuple(int(n) for n in self.constant(node, number).ravel())

    def keep(self, name: str, made: Operand) -> None:
        """What a node gives under a name."""
        if isinstance(made, Value):
            self.values[name] = made
        else:
            self.constants[name] = made

    def parameter(self, node: Node, array: Array) -> Value | float:
        """A constant that steps read: a written number where it is one, else a parameter."""
        if array.size == 1:
            return float(array.ravel()[0])
        name = self._stored(node, array)
        shape = tuple(array.shape)
        return self.builder.parameter(name, shape, Tensor(name, shape))

    def linear(
        self, node: Node, x: Value, weight: Array, bias: Array | None = None,
        role: Role = "feed_forward",
    ) -> Value:  # fmt: skip
        """weight [rows, columns] times x [..., columns], plus bias [rows]."""
        rows, columns = weight.shape
        name = self._stored(node, weight)
        biases = None
        if bias is not None:
            biases = Tensor(self._stored(node, np.broadcast_to(bias, (rows,))), (rows,))
        matrix = Matrix(
            name, rows, columns, role, Cut("rows"), Tensor(name, (rows, columns)), biases,
            padding=-columns % BLOCK,
        )  # fmt: skip
        return dense(x, self.builder.matrix(matrix))

    def _stored(self, node: Node, array: Array) -> str:
        """The name under which a constant is kept, as float32."""
        made = np.ascontiguousarray(array, np.float32)
        if not np.array_equal(made.astype(np.float64), np.asarray(array, np.float64)):
            raise self.refusal(node, "has constants that float32 does not hold")
        base = self.legal(f"{node.operator.lower()}.{len(self.tensors)}")
        self.tensors[base] = OnnxTensor(base, made, self.file)
        return base
