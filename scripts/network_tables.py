"""The tables of docs/networks.md, from the families themselves.

python scripts/network_tables.py          writes them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, assert_never, get_args

from marked import remade

from hnlpu.model.families import BY_OPERATION, EVERY_FAMILY, OF_SIGNALS, families, network_of
from hnlpu.model.network import (
    Append,
    Network,
    Replace,
    Ring,
    State,
    Step,
    class_name,
    op_name,
    ops,
    regions,
)
from hnlpu.model.network.ops import Op

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
MODELS: dict[str, dict[str, Any]] = {
    "gpt-oss-20b": {
        "model_type": "gpt_oss", "vocab_size": 201088, "hidden_size": 2880,
        "intermediate_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 32,
        "num_experts_per_tok": 4, "sliding_window": 128,
    },
    "Qwen3-0.6B": {
        "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024,
        "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "rope_theta": 1e6,
        "tie_word_embeddings": True,
    },
    "Mamba-2 130M": {
        "model_type": "mamba2", "vocab_size": 50288, "hidden_size": 768, "num_hidden_layers": 24,
        "num_heads": 24, "head_dim": 64, "state_size": 128, "n_groups": 1,
        "tie_word_embeddings": True,
    },
    "a GRU": {
        "model_type": "gru", "vocab_size": 256, "hidden_size": 512, "num_hidden_layers": 2,
    },
}  # fmt: skip
"""Sizes as the config.json of each model has them; the GRU's are an example of ours."""


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*names: str) -> list[str]:
    return [row(*names), row(*["---"] * len(names))]


def count(number: int) -> str:
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "K")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return str(number)


def side_by_side() -> list[str]:
    """A row per question, a column per model."""
    networks = {name: network_of(config) for name, config in MODELS.items()}
    questions: dict[str, Callable[[Network], object]] = {
        "weights in metal": lambda n: count(sum(m.count * m.rows * m.columns for m in n.matrices)),
        "matrices per layer": lambda n: sum(m.block == 0 for m in n.matrices),
        "numbers in memory": lambda n: count(sum(_size(p.shape) for p in n.parameters)),
        "states per layer": lambda n: "<br>".join(_state(s) for s in n.states if s.block == 0),
        "numbers kept after 100 positions": lambda n: count(_kept(n, 100)),
        "numbers kept after 100,000 positions": lambda n: count(_kept(n, 100_000)),
        "steps of a layer": lambda n: sum(step.block == 0 for step in n.steps),
        "of these position by position": lambda n: sum(
            n.steps[k].block == 0 for r in regions(n) if r.serial for k in range(r.start, r.stop)
        ),
    }
    rows = head("", *networks)
    rows += [row(text, *map(answer, networks.values())) for text, answer in questions.items()]
    return rows


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _state(state: State) -> str:
    shape = " x ".join(map(str, state.shape))
    name = state.name.rpartition(".")[2]
    match state.keeps:
        case Append(None):
            return f"{name}: {shape} per position"
        case Append(window):
            return f"{name}: {shape} per position, last {window}"
        case Ring(length):
            return f"{name}: ring of {length} x {shape}"
        case Replace():
            return f"{name}: {shape}"
        case _:
            assert_never(state.keeps)


def _kept(network: Network, positions: int) -> int:
    total = 0
    for state in network.states:
        match state.keeps:
            case Append(window):
                entries = min(positions, window or positions)
            case Ring(length):
                entries = length
            case Replace():
                entries = 1
            case _:
                assert_never(state.keeps)
        total += entries * _size(state.shape)
    return total


def a_layer_of_each() -> list[str]:
    """The last layer of each model as a list of its composites and steps."""
    lines = ["```"]
    for name, config in MODELS.items():
        network = network_of(config)
        last = max(step.block for step in network.steps if step.block is not None)
        lines += [name, *(f"    {text}" for text in _outline(network, last)), ""]
    return [*lines[:-1], "```"]


def _outline(network: Network, block: int) -> Iterator[str]:
    """A line for each outermost span of a block and each step between them."""
    spans = {span.start: span for span in reversed(network.spans)}
    n = next(n for n, step in enumerate(network.steps) if step.block == block)
    loose: list[str] = []
    while n < len(network.steps) and network.steps[n].block == block:
        span = spans.get(n)
        if span is None:
            loose.append(op_name(network.steps[n].op))
            n += 1
            continue
        if loose:
            yield ", ".join(loose)
            loose = []
        yield f"{span.composite:<14} {_inside(network.steps[span.start : span.stop])}".rstrip()
        n = span.stop
    if loose:
        yield ", ".join(loose)


def _inside(steps: tuple[Step, ...]) -> str:
    """Matrices that steps pass, states that they read and write."""
    texts = []
    for step in steps:
        match step.op:
            case ops.Project(matrix, members):
                short = matrix.split(".", 3)[-1] if "layers" in matrix else matrix
                texts.append(short + (" of the chosen" if members == "chosen" else ""))
            case ops.Read(state, when):
                texts.append(f"reads {state.rpartition('.')[2]} {when} its write")
    return "; ".join(texts)


def operations() -> list[str]:
    """A row per operation: its name, the first sentence of what it says of itself, chip numerics."""
    rows = head("operation", "what it does", "chip numerics give")
    for op in get_args(Op):
        sentence = " ".join((op.__doc__ or "").split("\n\n")[0].split())
        rows.append(row(f"`{class_name(op)}`", sentence.replace("|", "\\|"), in_chip(op)))
    return rows


def in_chip(op: type) -> str:
    """The format of what an operation gives in chip numerics (docs/vector-unit.md)."""
    (found,) = (formats for formats, of in IN_CHIP.items() if op in of)
    return found


IN_CHIP: dict[str, tuple[type, ...]] = {
    "digits": (ops.Quantize,),
    "sums": (ops.Project,),
    "truths": (ops.Compare,),
    "indices": (ops.ArgMax,),
    "values": (ops.Lookup, ops.FromSums, ops.InverseRoot),
    "fine, or values (gelu, polynomial)": (ops.Table,),
    "the coarsest of its arguments": (
        ops.Add, ops.Sub, ops.Mul, ops.Dot, ops.Outer, ops.Minimum, ops.Maximum, ops.Where,
        ops.Concat,
    ),
    "as its first argument": (
        ops.Divide, ops.Shift, ops.Sum, ops.Max, ops.TopK, ops.Reshape, ops.Permute, ops.Split,
        ops.Gather, ops.Window,
    ),
    "the state's: memory, keys or values": (ops.Read,),
    "nothing": (ops.Write,),
    "values, tick by tick": (ops.Repeat,),
}  # fmt: skip


def what_works() -> list[str]:
    """Commands by family: those that know none, those that know gpt-oss alone, those of signals."""
    text = [name for name, family in families().items() if family.of_text and name != "gpt_oss"]
    signals = [name for name, family in families().items() if not family.of_text]
    others, numbers = (", ".join(f"`{name}`" for name in sorted(x)) for x in (text, signals))
    rows = head("command", "`gpt_oss`", f"{others}, a family of your own", f"of signals: {numbers}")
    for command in EVERY_FAMILY:
        rows.append(row(f"`{command}`", "yes", "yes", _of_signals(command)))
    for command in OF_SIGNALS:
        if command not in EVERY_FAMILY:
            rows.append(row(f"`{command}`", "refuse", "refuse", "yes"))
    some = "the operations that it has; refuses others by their names"
    rows += [row(f"`{command}`", "yes", some, some) for command in BY_OPERATION]
    digits = "`round`, but for `bitnet`; the other steps for families whose layers may differ"
    rows.append(row("`compress`", "yes", digits, "refuse"))
    rows.append(row("`--numerics chip` of `generate`, `score` and `run`", "yes", "yes", "yes"))
    rows.append(row("`--adapter` of `generate`, `score` and `serve`", "yes", "yes", "refuse"))
    return [*rows, row("`--device` of `generate`, `score` and `serve`", "yes", some, "refuse")]


def _of_signals(command: str) -> str:
    return "yes" if command in OF_SIGNALS else "refuse"


TABLES: dict[str, Callable[[], list[str]]] = {
    "what works": what_works,
    "operations": operations,
    "side by side": side_by_side,
    "layers": a_layer_of_each,
}


def page(text: str) -> str:
    """`text` with its tables made anew."""
    return remade(text, TABLES)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
