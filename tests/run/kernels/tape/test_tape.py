"""Networks of every family on a tape: the interpreter's bits, whatever rows come together."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

import hnlpu
from family_builds import FAMILIES, STEP_BY_STEP, made
from helpers import write_checkpoint
from hnlpu.errors import NotFinite
from hnlpu.model.network import Append, Builder, Network, check, ops
from hnlpu.model.network.composites import dense
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import HardwiredConstants, InterpretedModel, Interpreter, States
from hnlpu.run.emulate._taped import TapedNetwork
from hnlpu.run.kernels import load
from hnlpu.run.kernels.tape import NotOnTape, TapeMemory, TapeRows
from hnlpu.silicon.hardwire import Build, open_build
from network_samples import tensor_matrix
from readers import sample, write_sample

LIBRARY, REASON = load()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason=REASON)
SETS = range(len(LIBRARY.instructions) if LIBRARY else 0)
PAGE = 4
OTHERS = [name for name in FAMILIES if name not in STEP_BY_STEP]


@cache
def folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


@cache
def build_of(family: str, seed: int) -> Build:
    """A random small model; the widths of integers differ."""
    home = Path(folder().name) / f"{family}-{seed}"
    if family == "gpt_oss":
        shapes = {"layers": 3, "active": 3, "heads": 6, "kv_heads": 3, "sliding_window": 5}
        checkpoint = home / "checkpoint"
        write_checkpoint(
            checkpoint, seed=seed, **shapes if seed == 2 else {"experts": 1, "active": 1}
        )
    else:
        checkpoint = write_sample(sample(family, seed, home / "written"), home / "checkpoint")
    policy = make_policy(experts="mxfp4x2", activation_bits=(12, 8, 16)[seed % 3])
    hnlpu.build(checkpoint, home / "build", policy, workers=1)
    return open_build(home / "build")


@cache
def pair(family: str, seed: int) -> tuple[TapedNetwork, Interpreter]:
    build = build_of(family, seed)
    constants = HardwiredConstants(build)
    return TapedNetwork(build.network, constants), Interpreter(build.network, constants)


class Company:
    """Memory of several sequences on scattered pages and slots, NaN where nothing was written."""

    def __init__(
        self, taped: TapedNetwork, sequences: int, pages: int, random: np.random.Generator
    ):
        self.tables = random.permutation(sequences * pages).reshape(sequences, pages)
        self.slots = random.permutation(sequences + 1)[:sequences]
        self.states: dict[str, np.ndarray] = {}
        for held in taped.tape.states:
            whole = held.how == "whole"
            shape = held.memory_shape(sequences + 1 if whole else sequences * pages, PAGE)
            fill = held.initial if whole else np.nan
            self.states[held.name] = np.full(shape, fill, np.float32)
        self.held = taped.tape.states

    def memory(self) -> TapeMemory:
        return TapeMemory(self.states, self.tables, self.slots)

    def entries(self, sequence: int, network: Network, length: int) -> dict[str, np.ndarray]:
        """What a sequence keeps, as the interpreter has it."""
        found = {}
        for held in self.held:
            array, keeps = self.states[held.name], network.declared().states[held.name].keeps
            if held.how == "whole":
                found[held.name] = array[self.slots[sequence]]
                continue
            pages = array[self.tables[sequence]]
            order = (0, 3, 1, 2) if held.how == "keys" else (0, 2, 1, 3)
            by_position = pages.transpose(order).reshape(-1, *held.shape)[:length]
            most = keeps.window if isinstance(keeps, Append) else None
            found[held.name] = by_position[0 if most is None else max(0, length - most) :]
        return found


def shuffled(lengths: list[int], random: np.random.Generator) -> np.ndarray:
    """Sequences of rows in any order; those of one sequence keep theirs."""
    return random.permutation(np.repeat(np.arange(len(lengths)), lengths))


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("family", ["gpt_oss", *OTHERS])
def test_rows_of_any_sequences_have_the_bits_of_each_alone(
    family: str, seed: int, instructions: int
) -> None:
    taped, interpreter = pair(family, seed)
    network = taped.network
    random = np.random.default_rng(seed + 10 * instructions)
    vocabulary = build_of(family, seed).facts.vocab_size
    texts = [random.integers(0, vocabulary, n) for n in (19, 1, 7, 12)]
    alone = [interpreter.run(list(text), interpreter.start()) for text in texts]
    company = Company(taped, len(texts), 5, random)
    at = np.zeros(len(texts), np.int64)
    found: list[list[np.ndarray]] = [[] for _ in texts]
    while any(at < [len(text) for text in texts]):
        left = [len(text) - n for text, n in zip(texts, at, strict=True)]
        lengths = [int(min(n, random.choice([0, 1, 1, 4, 9]))) for n in left]
        sequences = shuffled(lengths, random)
        if not len(sequences):
            continue
        positions = np.empty_like(sequences)
        for s, n in enumerate(lengths):
            positions[sequences == s] = at[s] + np.arange(n)
        tokens = np.array([texts[s][p] for s, p in zip(sequences, positions, strict=True)])
        (y,) = taped.run(
            {"token": tokens}, TapeRows(sequences, positions), company.memory(),
            instructions=instructions,
        )  # fmt: skip
        for s in range(len(texts)):
            found[s].append(y[sequences == s])
        at += lengths
    for s, ((expected,), states) in enumerate(alone):
        assert np.concatenate(found[s]).tobytes() == expected.tobytes()
        kept = company.entries(s, network, len(texts[s]))
        assert kept.keys() == states.entries.keys()
        for name, entries in kept.items():
            assert entries.tobytes() == states.entries[name].tobytes(), name


def test_a_state_that_is_another_changes_the_result() -> None:
    """The control of the test above: it would see a slot that is not the sequence's own."""
    taped, _ = pair("gru", 2)
    random = np.random.default_rng(0)
    company = Company(taped, 2, 1, random)
    rows = TapeRows(np.array([0, 0, 0]), np.arange(3))
    (first,) = taped.run({"token": np.array([3, 4, 5])}, rows, company.memory())
    (again,) = taped.run({"token": np.array([3, 4, 5])}, rows, company.memory())
    (other,) = taped.run({"token": np.array([3, 4, 5])}, TapeRows(rows.sequences + 1, rows.positions),
                         company.memory())  # fmt: skip
    assert first.tobytes() != again.tobytes()
    assert first.tobytes() == other.tobytes()


@pytest.mark.parametrize("family", OTHERS)
def test_a_language_model_over_metal_runs_on_a_tape(family: str) -> None:
    build = open_build(made(family).one)
    model = InterpretedModel(build.network, build.facts, HardwiredConstants(build), build.directory)
    assert (model.taped is not None, model.not_taped) == (True, "")
    slow = InterpretedModel(build.network, build.facts, HardwiredConstants(build), build.directory)
    slow.taped = None
    first, second = np.split(made(family).tokens, [11])
    quick_cache, slow_cache = model.new_cache(), slow.new_cache()
    quick, expected = model.forward(first, quick_cache), slow.forward(first, slow_cache)
    assert quick.tobytes() == expected.tobytes()
    kept: list[States] = [quick_cache.save(), slow_cache.save()]
    assert kept[0].position == kept[1].position
    for name, entries in kept[0].entries.items():
        assert entries.tobytes() == kept[1].entries[name].tobytes()
    ends = []
    for run, states in ((model, kept[1]), (slow, kept[0])):  # each goes on from the other's
        cache = run.new_cache()
        cache.restore(states)
        ends.append(run.forward(second, cache))
    assert ends[0].tobytes() == ends[1].tobytes()
    rounded = HardwiredConstants(build, float_activations=True)
    floats = InterpretedModel(build.network, build.facts, rounded, build.directory)
    assert (floats.taped, floats.not_taped) == (None, "activations that stay float")


@pytest.mark.parametrize("instructions", SETS)
def test_members_outside_of_a_mixture_that_fits(instructions: int) -> None:
    """Experts with another gate, and every member on a vector of its own."""
    build = build_of("qwen3_moe", 2)
    constants, network = HardwiredConstants(build), build.network
    gates = tuple(
        replace(s, op=ops.Table("tanh")) if s.op == ops.Table("sigmoid") else s
        for s in network.steps
    )
    spans = tuple(
        replace(s, composite="gate") if s.composite == "silu" else s for s in network.spans
    )
    bank = next(m for m in network.matrices if m.members is not None)
    assert bank.members is not None
    b = Builder("members")
    table = next(p for p in network.parameters if p.name == "model.embed_tokens.weight")
    x = b.lookup(b.parameter(table.name, table.shape, table.source), b.token())
    rows = b.step(
        ops.Concat(0), *[x.reshape(1, bank.columns).shift(n) for n in range(bank.members)]
    )
    each = b.finish(dense(rows, b.matrix(bank)).sum(0))
    for other in (replace(network, steps=gates, spans=spans), each):
        taped, interpreter = TapedNetwork(other, constants), Interpreter(other, constants)
        assert [i.code.name for i in taped.tape._layout.kept].count("MEMBERS") > 0
        tokens = np.random.default_rng(1).integers(0, build.facts.vocab_size, 9)
        (expected,), _ = interpreter.run(list(tokens), interpreter.start())
        memory = Company(taped, 1, 3, np.random.default_rng(0)).memory()
        rows_of = TapeRows(np.zeros(9, np.int64), np.arange(9))
        (y,) = taped.run({"token": tokens}, rows_of, memory, instructions=instructions)
        assert y.tobytes() == expected.tobytes()


def test_what_is_not_finite_is_refused() -> None:
    taped, _ = pair("llama", 2)
    company = Company(taped, 1, 1, np.random.default_rng(0))
    rows = TapeRows(np.zeros(2, np.int64), np.arange(2))
    for held in taped.tape.states:
        company.states[held.name][:] = np.inf
    with pytest.raises(NotFinite):
        taped.run({"token": np.array([1, 2])}, TapeRows(rows.sequences, rows.positions + 1),
                  company.memory())  # fmt: skip


def test_a_network_that_lacks_an_instruction_says_which() -> None:
    build = build_of("gru", 2)
    b = Builder("odd")
    x = b.lookup(
        b.parameter("embedding.weight", (7, 32), tensor_matrix("e", 7, 32).source), b.token()
    )
    y = b.step(ops.Window((2,), (1,), (1,), ((0, 0),)), x.reshape(32, 1)).reshape(62)
    network = b.finish(dense(y, b.matrix(tensor_matrix("m", 3, 62))))
    check(network)

    class Metal(HardwiredConstants):
        def parameter(self, name: str) -> np.ndarray:
            return np.zeros((7, 32), np.float32)

    with pytest.raises(NotOnTape, match=r"step \d+ \(window window\): no instruction does it"):
        TapedNetwork(network, Metal(build))
