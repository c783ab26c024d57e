"""An ONNX file -> its graph, walked once: inputs and states, nodes in order, outputs."""

from __future__ import annotations

import atexit
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from hnlpu.errors import (
    DamagedCheckpoint,
    InvalidConfig,
    MalformedNetwork,
    ToolMissing,
    UnsupportedArchitecture,
)
from hnlpu.model.checkpoint._facts import NO_LIMIT, ModelFacts
from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint.onnx._graph import Graph, Node, plain_shape
from hnlpu.model.checkpoint.onnx._operators import OPERATORS
from hnlpu.model.families import Task
from hnlpu.model.network import Input, Network, Replace, Value

DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class OnnxModel:
    """A network in a file: what is known of it, its tensors, the file, a folder with its config.json."""

    facts: ModelFacts
    network: Network
    tensors: Mapping[str, Stored]
    file: Path
    settings: Path


def open_onnx(path: Path) -> OnnxModel:
    """Read an ONNX file; its settings' folder goes when the program ends.

    Raises ToolMissing without the package onnx, DamagedCheckpoint, InvalidConfig for metadata that makes no
    sense, UnsupportedArchitecture for an operator, with its name, that networks do not have.
    """
    model = _loaded(path)
    told = {entry.key: entry.value for entry in model.metadata_props}
    task = told.get("hnlpu.task", "stream")
    if task not in get_args(Task):
        raise InvalidConfig(f"{path}: hnlpu.task is {task!r}; give {', '.join(get_args(Task))}")
    for entry in model.opset_import:
        if entry.domain not in DOMAINS:
            raise UnsupportedArchitecture(
                f"{path}: operators of the domain {entry.domain} are not read"
            )
    opset = max((entry.version for entry in model.opset_import), default=1)
    try:
        network, graph, states = _network(path, model.graph, opset, told.get("hnlpu.states"))
    except MalformedNetwork as error:
        raise MalformedNetwork(error.rule, f"{path}: {error}") from None
    config = {"model_type": "onnx", "task": task, "states": states}
    folder = TemporaryDirectory(prefix="hnlpu-onnx-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    (Path(folder.name) / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    facts = ModelFacts(
        family="onnx", config=config, vocab_size=0, max_position_embeddings=NO_LIMIT, task=task
    )
    return OnnxModel(facts, network, graph.tensors, path, Path(folder.name))


def _loaded(path: Path) -> Any:
    try:
        import onnx
    except ImportError:
        raise ToolMissing(
            f"{path}: reading ONNX needs the package onnx; pip install 'hnlpu[onnx]'"
        ) from None
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except OSError as error:
        raise DamagedCheckpoint(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # whatever the package says of a file that is none
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DamagedCheckpoint(f"{path}: is no sound ONNX file ({first})") from None
    return model


def _network(
    path: Path, of: Any, opset: int, pairs: str | None
) -> tuple[Network, Graph, dict[str, str]]:
    """The network of a graph, the graph as it was walked, and its states by their inputs."""
    from onnx import numpy_helper

    graph = Graph(path, opset)
    for tensor in of.initializer:
        graph.constants[tensor.name] = numpy_helper.to_array(tensor)
    inputs = [entry for entry in of.input if entry.name not in graph.constants]
    states = _states(path, [x.name for x in inputs], [x.name for x in of.output], pairs)
    kept = {}
    for entry in inputs:
        shape = _shape(path, entry)
        rows = plain_shape(shape)
        if entry.name in states:
            kept[entry.name] = graph.builder.state(graph.legal(entry.name), rows, Replace())
            value = graph.builder.read(kept[entry.name], "before")
        else:
            given = Input(graph.legal(entry.name), "data", rows, "real")
            value = graph.builder.input(given)
        graph.values[entry.name] = value.reshape(*shape)
    for found in of.node:
        node = Node.of(found)
        if node.inputs and all(not name or name in graph.constants for name in node.inputs):
            graph.constants.update(_folded(graph, found, opset))
            continue
        if node.operator not in OPERATORS or found.domain not in DOMAINS:
            known = ", ".join(sorted(OPERATORS))
            raise graph.refusal(node, f"is not one that is read ({known})")
        made = OPERATORS[node.operator](graph, node)
        for name, value_ in zip(node.outputs, made, strict=False):
            graph.keep(name, value_)
    for name, out in states.items():
        state = kept[name]
        graph.builder.write(state, _row(path, graph, out).reshape(*state.shape))
    outputs = [x.name for x in of.output if x.name not in states.values()]
    values = [_row(path, graph, name) for name in outputs]
    network = graph.builder.finish(*(v.reshape(math.prod(v.sizes)) for v in values))
    return network, graph, states


def _folded(graph: Graph, found: Any, opset: int) -> dict[str, Any]:
    """What a node gives whose inputs are constants, by the package's own definition of its operator."""
    from onnx.reference import ReferenceEvaluator

    given = {name: graph.constants[name] for name in found.input if name}
    try:
        made = ReferenceEvaluator(found, opsets={"": opset}).run(None, given)
    except Exception as error:  # whatever the package says of an operator that it lacks
        raise graph.refusal(
            Node.of(found), f"of constants cannot be worked out ({error})"
        ) from None
    return dict(zip(found.output, made, strict=False))


def _states(path: Path, inputs: list[str], outputs: list[str], pairs: str | None) -> dict[str, str]:
    """The output that each input is kept from, by the inputs' names."""
    if pairs is None:
        return {name: f"{name}_out" for name in inputs if f"{name}_out" in outputs}
    found = {}
    for pair in filter(None, (part.strip() for part in pairs.split(","))):
        name, _, out = pair.partition("=")
        if name not in inputs or out not in outputs:
            raise InvalidConfig(
                f"{path}: hnlpu.states has {pair!r}; inputs are {', '.join(inputs)}, outputs "
                f"{', '.join(outputs)}"
            )
        found[name] = out
    return found


def _shape(path: Path, entry: Any) -> tuple[int, ...]:
    """The shape of an input; a first axis of no known length is one of sequences, of which one is run."""
    kind = entry.type.tensor_type.elem_type
    if kind not in (1, 10, 11, 16):  # float, float16, double, bfloat16
        raise UnsupportedArchitecture(f"{path}: input {entry.name} is no row of real numbers")
    dims = [dim.dim_value or None for dim in entry.type.tensor_type.shape.dim]
    if dims and dims[0] is None:
        dims[0] = 1
    if not dims or None in dims:
        raise UnsupportedArchitecture(
            f"{path}: input {entry.name} has axes of no known length; export one position, with fixed sizes"
        )
    return tuple(int(dim) for dim in dims if dim)


def _row(path: Path, graph: Graph, name: str) -> Value:
    value = graph.values.get(name)
    if value is None:
        raise UnsupportedArchitecture(f"{path}: output {name} depends on no input")
    return value
