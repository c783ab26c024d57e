"""Rules of what a network declares: names, inputs, matrices, parameters, states."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.network._declare import Append, Input, Keeps, Matrix, Replace, Ring
from hnlpu.model.network._form import Network
from hnlpu.model.network._rules import LEGAL_NAME, at, refuse_if
from hnlpu.model.network._source import Source, all_leaves, leaf_tensors, source_shape
from hnlpu.model.network._types import Positions


def check_declared(network: Network) -> None:
    """Raise MalformedNetwork where a declaration breaks a rule."""
    _check_names(network)
    _check_inputs(network.inputs)
    for matrix in network.matrices:
        with at(f"matrix {matrix.name}"):
            _check_matrix(matrix)
    for parameter in network.parameters:
        with at(f"parameter {parameter.name}"):
            _check_shape(parameter.shape)
            _check_source(parameter.source, parameter.shape)
    for state in network.states:
        with at(f"state {state.name}"):
            _check_shape(state.shape)
            _check_keeps(state.keeps)
            finite = math.isfinite(state.initial)
            refuse_if(not finite, "number", f"starts from {state.initial}")
    _check_tensors(network)
    _check_cuts(network.matrices)
    limit = network.context
    too_short = limit is not None and limit < 1
    refuse_if(too_short, "context", f"a context of {limit} positions")


def _check_names(network: Network) -> None:
    seen: set[str] = set()
    declared: Iterable[tuple[str, str]] = (
        *(("input", x.name) for x in network.inputs),
        *(("matrix", x.name) for x in network.matrices),
        *(("parameter", x.name) for x in network.parameters),
        *(("state", x.name) for x in network.states),
    )
    for what, name in declared:
        legal = LEGAL_NAME.fullmatch(name)
        refuse_if(not legal, "name", f"{what} {name!r}: letters, digits and _ . - make a name")
        refuse_if(name in seen, "redefined", f"{what} {name}: the name is declared twice")
        seen.add(name)


def _check_inputs(inputs: tuple[Input, ...]) -> None:
    for carries in ("token", "position"):
        count = sum(x.carries == carries for x in inputs)
        refuse_if(count > 1, "inputs", f"{count} inputs carry the {carries}; one may")
    for given in inputs:
        with at(f"input {given.name}"):
            fits = given.kind in ("real", "index", "truth")
            refuse_if(not fits, "inputs", f"{given.kind} do not come from outside")
            single = given.shape == () and given.kind == "index"
            wrong = given.carries != "data" and not single
            refuse_if(wrong, "inputs", f"a {given.carries} is a single index")
            known = all(not isinstance(dim, Positions) and dim > 0 for dim in given.shape)
            refuse_if(not known, "shape", "lengths of axes are known and at least 1")


def _check_shape(shape: tuple[int, ...]) -> None:
    refuse_if(min(shape, default=1) < 1, "shape", f"{list(shape)} has an axis without entries")


def _check_source(source: Source, expected: tuple[int, ...]) -> None:
    given = source_shape(source)
    text = f"its source gives {list(given)}, not {list(expected)}"
    refuse_if(given != expected, "source", text)


def _check_keeps(keeps: Keeps) -> None:
    match keeps:
        case Ring(length=count) | Append(window=int() as count):
            refuse_if(count < 1, "keeps", f"keeps {count} entries; at least 1")
        case Append() | Replace():
            pass


def _check_matrix(matrix: Matrix) -> None:
    _check_shape((matrix.count, matrix.rows, matrix.columns))
    whole = matrix.columns + matrix.padding
    text = f"{whole} inputs are not in blocks of {BLOCK}: declare its padding"
    refuse_if(whole % BLOCK != 0, "blocks", text)
    text = f"{matrix.padding} inputs of padding; less than a block of {BLOCK}"
    refuse_if(not 0 <= matrix.padding < BLOCK, "padding", text)
    _check_source(matrix.source, matrix.shape)
    if matrix.bias is not None:
        with at("bias"):
            _check_source(matrix.bias, matrix.shape[:-1])
    _check_cut(matrix)


def _check_cut(matrix: Matrix) -> None:
    cut, alone = matrix.cut, matrix.members is None
    along = matrix.columns if cut.how == "heads_in" else matrix.rows
    divides = cut.group >= 1 and along % cut.group == 0
    refuse_if(not divides, "cut", f"runs of {cut.group} do not divide {along}")
    in_runs = cut.how in ("heads_out", "heads_in")
    text = f"{cut.how} has no runs, but a group of {cut.group}"
    refuse_if(not in_runs and cut.group != 1, "cut", text)
    refuse_if(in_runs and not alone, "cut", "a bank of members is not cut by heads")
    by_members = cut.how == "members"
    refuse_if(by_members and alone, "cut", "a single matrix has no members to cut by")


def _check_tensors(network: Network) -> None:
    """A tensor of the checkpoint has one shape, whoever takes it."""
    sources: list[Source] = [p.source for p in network.parameters]
    for matrix in network.matrices:
        sources += [matrix.source, *([matrix.bias] if matrix.bias is not None else [])]
    shapes: dict[str, tuple[int, ...]] = {}
    for leaf in (leaf for source in sources for leaf in all_leaves(source)):
        for name, shape in leaf_tensors(leaf).items():
            known = shapes.setdefault(name, shape)
            text = f"tensor {name} is taken as {list(known)} and as {list(shape)}"
            refuse_if(known != shape, "tensor", text)
    for other in network.left_out:
        taken = [name for name in shapes if name.startswith(other.start)]
        text = f"tensors that begin with {other.start!r} are left out, {taken[:1]} is taken"
        refuse_if(bool(taken), "left out", text)


def _check_cuts(matrices: Iterable[Matrix]) -> None:
    """Matrices cut together have as many runs."""
    runs: dict[str, tuple[str, int]] = {}
    for matrix in matrices:
        cut, count = matrix.cut, matrix.count
        if cut.together is None:
            continue
        if cut.how in ("heads_out", "heads_in"):
            count = (matrix.columns if cut.how == "heads_in" else matrix.rows) // cut.group
        first, expected = runs.setdefault(cut.together, (matrix.name, count))
        text = f"{count} runs, but {first}, cut together with it, has {expected}"
        refuse_if(count != expected, "cut together", f"matrix {matrix.name}: {text}")
