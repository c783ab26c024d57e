"""Laws of composition and of states, each as a function of a seed that says whether it is broken."""

from __future__ import annotations

import itertools
from dataclasses import fields
from typing import Any

import numpy as np

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network import (
    Append,
    Builder,
    Input,
    Network,
    Replace,
    Ring,
    Value,
    extract,
    in_parallel,
    in_sequence,
    include,
)
from hnlpu.run.emulate import FloatConstants, Interpreter
from studies.nested.systems import identity, inputs, interface, put, ran, renamed, system

POSITIONS = 5
Random = np.random.Generator


def graph(network: Network) -> list[Any]:
    """What a network does, without its names: everything numbered in the order of its definition."""
    things: tuple[Any, ...] = (
        *network.inputs,
        *network.matrices,
        *network.parameters,
        *network.states,
    )
    defined = [thing.name for thing in things]
    defined += [name for step in network.steps for name in step.outs]
    number = {name: n for n, name in enumerate(defined)}

    def plain(thing: Any) -> tuple[str, list[Any]]:
        names = ("matrix", "table", "state", "name")
        values = [
            (f.name, number[getattr(thing, f.name)] if f.name in names else getattr(thing, f.name))
            for f in fields(thing)
        ]
        return type(thing).__name__, values

    steps = [
        (plain(step.op), [number[a] if isinstance(a, str) else a for a in step.args])
        for step in network.steps
    ]
    return [[plain(t) for t in things], steps, [number[name] for name in network.outputs]]


def _chain(random: Random, count: int) -> list[Network]:
    ends = [interface(random) for _ in range(count + 1)]
    return [system(random, a, b) for a, b in itertools.pairwise(ends)]


def associative(seed: int) -> bool:
    """(f ; g) ; h is f ; (g ; h)."""
    random = np.random.default_rng([1, seed])
    f, g, h = _chain(random, 3)
    left = in_sequence("s", ("fg", in_sequence("s", ("f", f), ("g", g))), ("h", h))
    right = in_sequence("s", ("f", f), ("gh", in_sequence("s", ("g", g), ("h", h))))
    data = inputs(random, left, POSITIONS)
    return graph(left) == graph(right) and ran(left, data) == ran(right, renamed(right, data))


def identities(seed: int) -> bool:
    """id ; f is f is f ; id, in every bit that goes out or is kept."""
    random = np.random.default_rng([2, seed])
    takes, gives = interface(random), interface(random)
    f = system(random, takes, gives)
    before = in_sequence("s", ("id", identity(takes)), ("f", f))
    behind = in_sequence("s", ("f", f), ("id", identity(gives)))
    data = inputs(random, f, POSITIONS)
    return ran(before, data) == ran(f, data) == ran(behind, data)


def interchange(seed: int) -> bool:
    """(f | g) ; (h | k) is (f ; h) | (g ; k)."""
    random = np.random.default_rng([3, seed])
    (f, h), (g, k) = _chain(random, 2), _chain(random, 2)
    first = in_parallel("s", ("f", f), ("g", g))
    left = in_sequence("s", ("a", first), ("b", in_parallel("s", ("h", h), ("k", k))))
    upper, lower = in_sequence("s", ("f", f), ("h", h)), in_sequence("s", ("g", g), ("k", k))
    right = in_parallel("s", ("u", upper), ("l", lower))
    data = inputs(random, left, POSITIONS)
    outputs, states = ran(left, data)
    others, kept = ran(right, renamed(right, data))
    return outputs == others and sorted(states) == sorted(kept)


def nesting(seed: int) -> bool:
    """A system in a system in a system is the system, and so is what is taken out again."""
    random = np.random.default_rng([4, seed])
    f = system(random, interface(random), interface(random))
    data = inputs(random, f, POSITIONS)
    expected, whole = ran(f, data), f
    for depth in range(3):
        b = Builder("outer")
        taken = {x.name: b.input(x) for x in f.inputs if x.carries == "data"}
        whole = b.finish(*include(b, f"level{depth}", whole, taken))
        out = extract(whole, whole.spans[0])
        if not ran(whole, data) == ran(out, data) == expected:
            return False
    return True


def wires(seed: int) -> bool:
    """A part replaced by what was on its output wires changes no bit of what others do."""
    random = np.random.default_rng([5, seed])
    ends = [interface(random) for _ in range(3)]
    part, rest = system(random, ends[0], ends[1]), system(random, ends[1] + ends[0], ends[2])
    b = Builder("whole")
    given = [b.input(x) for x in part.inputs if x.carries == "data"]
    made = include(b, "part", part, {f"x{n}": x for n, x in enumerate(given)})
    taken = {f"x{n}": x for n, x in enumerate((*made, *given))}
    whole = b.finish(*made, *include(b, "rest", rest, taken))
    data = inputs(random, whole, POSITIONS)
    outputs, _ = ran(whole, data)
    on_wires = [
        np.frombuffer(bits, np.float32).reshape(POSITIONS, *shape)
        for bits, shape in zip(outputs, ends[1], strict=False)
    ]
    replayed = {f"x{n}": x for n, x in enumerate((*on_wires, *data.values()))}
    return ran(rest, replayed)[0] == outputs[len(made) :]


def lenses(seed: int) -> bool:
    """A state that keeps one value: get after put, put after get, put after put."""
    random = np.random.default_rng([6, seed])
    shape = interface(random)[0]
    values = random.normal(size=(4, *shape)).astype(np.float32)
    before = put(Replace(), values[:1])
    # get after put
    got = put(Replace(), values[1:2], before).entries["s"][0].tobytes() == values[1].tobytes()
    # put after get
    keeper = _keeper(shape)
    runs = Interpreter(keeper, FloatConstants(keeper, {}))
    _, after = runs.run({"x": values}, before)
    kept = after.entries["s"].tobytes() == before.entries["s"].tobytes()
    # put after put
    twice, once = put(Replace(), values[2:], before), put(Replace(), values[3:], before)
    return got and kept and twice.entries["s"].tobytes() == once.entries["s"].tobytes()


def _keeper(shape: tuple[int, ...]) -> Network:
    """Writes what it reads to its state `s`, whatever its input."""
    b = Builder("keeper")
    x = b.input(Input("x", "data", shape, "real"))
    state = b.state("s", shape, Replace())
    b.write(state, b.read(state, "before"))
    return b.finish(b.read(state) + x)


def forgets(seed: int) -> bool:
    """Whether a state that keeps several entries forgets the first of two puts."""
    random = np.random.default_rng([7, seed])
    keeps = (Append(), Append(3), Ring(2), Ring(4))[random.integers(0, 4)]
    values = random.normal(size=(3, 2)).astype(np.float32)
    before = put(keeps, values[:1])
    newest = put(keeps, values[1:2], before).entries["s"][-1].tobytes() == values[1].tobytes()
    assert newest, "get after put holds for the newest entry of any state"
    twice, once = put(keeps, values[1:], before), put(keeps, values[2:], before)
    return twice.entries["s"].tobytes() == once.entries["s"].tobytes()


def ill_typed(seed: int) -> int:
    """Wirings of wrong types that are accepted, or refused without the rule's and the wire's name."""
    random = np.random.default_rng([8, seed])
    takes = interface(random)
    part = system(random, takes, interface(random))
    wrong = 0
    for how in ("shape", "kind", "missing", "unknown", "foreign", "count"):
        wrong += not _refused(how, part, takes)
    return wrong


def _refused(how: str, part: Network, takes: tuple[tuple[int, ...], ...]) -> bool:
    b, other = Builder("outer"), Builder("other")
    given: dict[str, Value] = {
        f"x{n}": b.input(Input(f"w{n}", "data", shape, "real")) for n, shape in enumerate(takes)
    }
    named = ("part", "x0")
    try:
        match how:
            case "shape":
                given["x0"] = b.input(Input("w", "data", (*takes[0], 5), "real"))
            case "kind":
                given["x0"] = b.input(Input("w", "data", takes[0], "index"))
            case "missing":
                del given["x0"]
            case "unknown":
                given["y"], named = given["x0"], ("part", "y")
            case "foreign":
                given["x0"] = other.input(Input("w0", "data", takes[0], "real"))
            case "count":
                named = ("part", f"takes {len(takes)}")
                three = identity(((1,), (1,), (1,)))
                in_sequence("s", ("three", three), ("part", part))
        include(b, "part", part, given)
    except MalformedNetwork as error:
        return error.rule == "interface" and all(name in str(error) for name in named)
    return False
