"""Write the tables of docs/machine.md:  python scripts/machine_tables.py

They stand between markers `<!-- name -->` and `<!-- end -->`.  With `--check` nothing is written, and
the exit code is 1 if the page is not what would be written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hnlpu.arithmetic.exchange import ExchangeFormats
from hnlpu.model.checkpoint import shapes_of
from hnlpu.model.families import network_of
from hnlpu.silicon.place import Embedding, make_target, place, placement_facts
from hnlpu.system.catalog import (
    DIGIT_BITS,
    NetworkShape,
    load_model,
    load_system,
    shape_of_network,
)
from hnlpu.system.machine import (
    HELD_BYTES,
    RESOURCES,
    Load,
    Simulation,
    busy_machine,
    closed_form,
    kv_state,
    open_network,
    simulate,
    specification,
    state_facts,
    token_demand,
    token_link_bytes,
    token_work,
)
from hnlpu.system.machine._exchange import Axis, axis_bytes, swap_steps
from hnlpu.system.machine._tasks import ColumnSums, Logits, SliceSums, Task, TotalSums

PAGE = Path(__file__).parents[1] / "docs" / "machine.md"
CONTEXTS = (2048, 8192, 32768, 65536, 131072, 262144)
SYSTEM, MODEL = "hnlpu-asplos26", "gpt-oss-120b"
_DECODER: dict[str, object] = {
    "vocab_size": 2048, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 768,
    "max_position_embeddings": 4096, "rope_theta": 10000.0,
}  # fmt: skip
_EXPERTS: dict[str, object] = {"num_experts_per_tok": 2, "sliding_window": 128}
SMALL: dict[str, dict[str, object]] = {
    "gpt_oss": _DECODER | _EXPERTS | {"num_local_experts": 8, "intermediate_size": 256},
    "llama": _DECODER,
    "mistral": _DECODER | {"sliding_window": 128},
    "qwen3": _DECODER,
    "qwen3_moe": _DECODER | {
        "num_experts_per_tok": 2, "num_experts": 8, "moe_intermediate_size": 256,
    },
    "mamba2": {
        "vocab_size": 2048, "hidden_size": 256, "num_hidden_layers": 8, "num_heads": 8,
        "head_dim": 64, "state_size": 64, "n_groups": 1,
    },
    "gru": {"vocab_size": 2048, "hidden_size": 512, "num_hidden_layers": 2},
}  # fmt: skip
"""Small models of every family, all about as wide."""
ROW_RANGE = 2
"""Range of the block exponents in a row of Gaussian weights (system/audit/limits.toml)."""


def tables() -> dict[str, str]:
    """The page's tables by the name of their marker."""
    return {
        "published": published(), "memory": memory(), "demand": demand(),
        "batch": batch(), "figure": figure(), "exchange": exchange(), "families": families(),
    }  # fmt: skip


def published() -> str:
    """Tokens/s over context: the paper's view, and what competing tokens reach."""
    model = load_model(MODEL)
    spec = specification(load_system(SYSTEM))
    rows = []
    for context in CONTEXTS:
        load = Load(context, spec.slots)
        alone = simulate(spec, model, load, contention="none", sliding=False)
        shared = simulate(spec, model, load, sliding=False)
        windows = [
            simulate(specification(load_system(SYSTEM), kv_bits=bits), model, load, sliding=True)
            for bits in (16, 8, 4)
        ]
        rows.append(
            [
                f"{context:,}", _rate(alone), f"**{_rate(shared)}**", shared.bottleneck,
                f"**{_rate(windows[0])}**", _rate(windows[1]), _rate(windows[2]),
                windows[0].bottleneck, f"{shared.tokens_per_second_per_user:,.1f}",
            ]
        )  # fmt: skip
    return _table(
        ["context", "nothing shared", "competing", "limit", "windows", "windows, 8-bit KV",
         "windows, 4-bit KV", "limit", "a user (competing)"],
        rows,
    )  # fmt: skip


def memory() -> str:
    """Gigabytes of keys and values of 216 sequences, and how many of them fit."""
    model = load_model(MODEL)
    rows = []
    for context in CONTEXTS:
        row = [f"{context:,}"]
        for sliding in (False, True):
            for bits in (16, 8, 4):
                spec = specification(load_system(SYSTEM), kv_bits=bits)
                work = token_work(model, spec.rows, spec.columns, sliding)
                kv = kv_state(spec, work, model.embedding_weights, spec.slots, context)
                fits = "" if kv.fits else f" ({kv.capacity_bytes * spec.slots / kv.bytes:.0f} fit)"
                row.append(f"{kv.bytes / 1e9:,.0f}{fits}")
        rows.append(row)
    head = [f"{bits}-bit{end}" for end in ("", ", windows") for bits in (16, 8, 4)]
    return _table(["context", *head], rows)


def demand() -> str:
    """Microseconds for which one token holds each resource; one over it is a bound on the rate."""
    model = load_model(MODEL)
    spec = specification(load_system(SYSTEM))
    rows = []
    for context in CONTEXTS:
        row = [f"{context:,}"]
        work = token_work(model, spec.rows, spec.columns, sliding=False)
        kv = kv_state(spec, work, model.embedding_weights, spec.slots, context)
        held = token_demand(spec, work, context, kv)
        row += [f"{held[name] * 1e6:,.2f}" for name in RESOURCES]
        row.append(f"{1 / max(held.values()):,.0f}")
        rows.append(row)
    return _table(["context", *RESOURCES, "no schedule exceeds, tokens/s"], rows)


def batch() -> str:
    """Rate and latency at 2K over the number of sequences, in both modes."""
    model = load_model(MODEL)
    spec = specification(load_system(SYSTEM))
    rows = []
    for sequences in (1, 8, 22, 44, 88, 216):
        load = Load(2048, sequences)
        alone = simulate(spec, model, load, contention="none", sliding=False)
        shared = simulate(spec, model, load, sliding=False)
        rows.append(
            [
                str(sequences), f"{alone.latency * 1e6:,.0f}", f"{shared.latency * 1e6:,.0f}",
                _rate(alone), _rate(shared), f"{shared.tokens_per_second / shared.bound:.1%}",
                shared.bottleneck,
            ]
        )  # fmt: skip
    return _table(
        ["sequences", "us a token, nothing shared", "us, competing", "tokens/s, nothing shared",
         "tokens/s, competing", "of the bound", "limit"],
        rows,
    )  # fmt: skip


def figure() -> str:
    """Shares of a token's time at 2K: published, and waiting charged to what was waited for."""
    model = load_model(MODEL)
    spec = specification(load_system(SYSTEM))
    columns = []
    for sliding in (False, True):
        run = simulate(spec, model, Load(2048, spec.slots), sliding=sliding)
        parts, waits = run.breakdown, run.waiting
        links = parts["communication"] + waits["column links"] + waits["row links"]
        arrays = parts["projection"] + waits["neuron arrays"] + waits["expert banks"]
        columns.append([f"{share:.1%}" for share in (links, arrays, 1 - links - arrays)])
    names, published = ("communication", "projection", "rest"), ("82.9%", "13.8%", "3.3%")
    rows = [list(row) for row in zip(names, published, *columns, strict=True)]
    return _table(["", "figure 14", "competing, with waits", "the same, windows"], rows)


def exchange() -> str:
    """Bytes that a generated token puts on a link of a column and of a row, by exchange, format and way."""
    model, published = load_model(MODEL), specification(load_system(SYSTEM))
    work = token_work(model, published.rows, published.columns, sliding=False)
    specs = [
        replace(published, formats=ExchangeFormats.all_of(form), collective=way, sampling=logits)
        for way, logits, forms in (
            ("direct", "gather", ("fp16", "exact", "vector", "int8")),
            ("scatter", "candidates", ("fp16", "exact", "int8")),
        )
        for form in forms
    ]
    rows = []
    for name, holds in _EXCHANGES.items():
        row = [name]
        for spec in specs:
            steps = [
                step
                for kind in (*(work.kinds[n] for n in work.layers), work.head)
                for task in kind
                if holds(task)
                for step in swap_steps(spec, task)
            ]
            row.append(" / ".join(f"{axis_bytes(tuple(steps), a):,.0f}" for a in _AXES))
        rows.append(row)
    sums = [token_link_bytes(spec, work)[::-1] for spec in specs]
    rows.append(["all", *(f"**{column:,.0f} / {row:,.0f}**" for column, row in sums)])
    runs = [closed_form(s, model, 2048, s.slots, sliding=False) for s in specs]
    rows.append(["tokens/s, at most", *(f"{run.tokens_per_second:,.0f}" for run in runs)])
    rows.append(["limit", *(run.resource for run in runs)])
    head = [f"{s.formats}{', scattered' if s.collective == 'scatter' else ''}" for s in specs]
    return _table(["exchange", *head], rows)


_AXES: tuple[Axis, Axis] = ("column", "row")
_EXCHANGES: dict[str, Callable[[Task], bool]] = {
    "queries, keys, values": lambda t: isinstance(t, ColumnSums) and not t.statistics,
    "attention": lambda t: isinstance(t, ColumnSums) and t.statistics > 0,
    "what attention gives, times Wo": lambda t: isinstance(t, SliceSums),
    "experts": lambda t: isinstance(t, TotalSums),
    "logits, or candidates": lambda t: isinstance(t, Logits),
}


def families() -> str:
    """Small models of every family, each on one chip of its own with every slot busy."""
    rows = []
    for name, config in SMALL.items():
        shape = shape_of_network(network_of(config | {"model_type": name}), name)
        target = open_network(shape)
        run = busy_machine(target, 2048)
        found = state_facts(shape, run)
        keys = (run.kv.bytes - run.kv.held_bytes) / run.batch
        pace = found.prompt_rate if found else None
        rows.append(
            [
                f"`{name}`", f"{shape.hardwired_weights / 1e6:.2f}",
                f"{shape.active_weights / 1e6:.2f}", f"{metal_mm2(shape):.2f}", _rate(run),
                f"{run.tokens_per_second_per_user:,.0f}", run.bottleneck, f"{keys:,.0f}",
                f"{shape.held_values * HELD_BYTES:,}",
                f"{pace:,.0f}" if pace else "as many as resources allow",
            ]
        )  # fmt: skip
    return _table(
        ["family", "weights, M", "active, M", "metal, mm²", "tokens/s", "a user", "limit",
         "keys and values, bytes a sequence", "states of fixed size, bytes a sequence",
         "tokens/s of one prompt, at most"],
        rows,
    )  # fmt: skip


def metal_mm2(shape: NetworkShape) -> float:
    """Area of arrays of the taps scheme: two digits a weight, one where the format is MXFP4."""
    digits = dict(zip(shape.weights(), (bits for _, bits in shape.stored()), strict=True))
    shapes = shapes_of(shape.network)
    embeddings = {
        m.name: Embedding(1 if digits[m.role] <= DIGIT_BITS else 2, ROW_RANGE) for m in shapes
    }
    target = make_target(chips=1)
    placement = place(shapes, embeddings, target)
    return placement_facts(shapes, embeddings, placement, target.technology).array_area_mm2


def _rate(run: Simulation) -> str:
    return f"{run.tokens_per_second:,.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def filled(page: str) -> str:
    """The page with its tables."""
    for name, table in tables().items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, found = pattern.subn(lambda m, t=table: f"{m[1]}{t}\n{m[2]}", page)
        assert found == 1, name
    return page


def main(arguments: Sequence[str]) -> int:
    """Write the page, or check it."""
    page = PAGE.read_text(encoding="utf-8")
    new = filled(page)
    if "--check" in arguments:
        if new != page:
            print(f"{PAGE.name}: not what the code computes; run scripts/machine_tables.py")
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
