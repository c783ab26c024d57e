"""Check of a chip's attention unit: silicon against `fixed_point.attend` and `by_hand`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from chip_functions import HIGH, LOW
from chip_parts import Part, Port, Run
from chip_units import Cycle, in_cycles

import by_hand
from hnlpu.arithmetic import fixed_point

LAYERS, CONTEXT, SEQUENCES, KEY_BITS = 2, 6, 2, 24
LARGEST_KEY = 2 ** (KEY_BITS - 1) - 1


def _attention(
    name: str, width: int, head: int, group: int, queries: int, keys: int, *, sinks: bool = True
) -> Part:
    row, place = (LAYERS * CONTEXT * SEQUENCES - 1).bit_length(), (CONTEXT - 1).bit_length()
    return Part(
        name, "hnlpu_attention",
        (
            Port("rst", 1), Port("store_key", 1), Port("store_value", 1), Port("store_query", 1),
            Port("beat", 16), Port("row", row), Port("stored", KEY_BITS, width),
            Port("start", 1), Port("base", row), Port("first", place), Port("last", place),
            Port("sinks", 32, queries * width // head),
        ),
        (Port("done", 1), Port("mixed", 32, queries * width, signed=True)),
        {
            "WIDTH": width, "HEAD_DIM": head, "GROUP": group, "QUERY_BEATS": queries,
            "KEY_BEATS": keys, "LAYERS": LAYERS, "CONTEXT": CONTEXT, "SEQUENCES": SEQUENCES,
            "SINKS": int(sinks),
        },
    )  # fmt: skip


ATTENTIONS = [
    _attention("attention_groups", 4, 2, 2, 2, 1),  # 4 query heads in 2 beats, 2 key heads
    _attention("attention_beats", 4, 4, 1, 2, 2),  # 2 heads, a beat each
    _attention("attention_one", 4, 2, 2, 1, 1),  # half of a beat of keys
    _attention("attention_plain", 4, 2, 2, 2, 1, sinks=False),
]


def _keys(rng: np.random.Generator, case: int, shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Extremes, small numbers, numbers whose scores are near each other, any numbers."""
    kind = case % 4
    if kind == 0:
        return rng.choice([-LARGEST_KEY - 1, LARGEST_KEY, 0], shape).astype(np.int32)
    size = (4, 4096, LARGEST_KEY)[kind - 1]
    return rng.integers(-size, size + 1, shape).astype(np.int32)


def check_attention(run: Run, part: Part) -> None:
    rng = np.random.default_rng(14)
    size = part.parameters
    width, head, group = size["WIDTH"], size["HEAD_DIM"], size["GROUP"]
    beats, key_beats = size["QUERY_BEATS"], size["KEY_BEATS"]
    heads = beats * width // head
    cycles: list[Cycle] = [{"rst": 1}]
    cases = []
    for case in range(64):
        last = int(rng.integers(CONTEXT)) if case > 4 else CONTEXT - 1
        window = int(rng.integers(CONTEXT + 1))
        first = max(0, last - window + 1) if window else 0
        base = CONTEXT * int(rng.integers(LAYERS * SEQUENCES))
        queries = _keys(rng, case, (1, heads, head))
        keys = _keys(rng, case // 4, (heads // group, last + 1, head))
        values = _keys(rng, case // 2, (heads // group, last + 1, head))
        sinks = rng.choice([LOW, -65536, 0, 1, 65536, HIGH], heads).astype(np.int64)
        for name, of in (("store_key", keys), ("store_value", values)):
            for place in range(last + 1):
                row = np.zeros(key_beats * width, int)
                row[: heads // group * head] = of[:, place].ravel()
                for beat, lanes in enumerate(row.reshape(key_beats, width).tolist()):
                    cycles.append({name: 1, "beat": beat, "row": base + place, "stored": lanes})
        for beat, lanes in enumerate(queries.reshape(beats, width).tolist()):
            cycles.append({"store_query": 1, "beat": beat, "stored": lanes})
        start = len(cycles)
        ready = start + 1 + beats * (2 * (last - first + 1) + 31)
        cycles.append(
            {"start": 1, "base": base, "first": first, "last": last, "sinks": sinks.tolist()}
        )
        # meanwhile another sequence's are stored, and the beat behind the last one
        other = (base + CONTEXT) % (LAYERS * CONTEXT * SEQUENCES)
        lanes = [-LARGEST_KEY] * width
        cycles += [
            {
                "store_key": 1, "store_value": 1, "store_query": n % 2,
                "beat": beats if n % 2 else 0, "row": other, "stored": lanes,
            }
            for n in range(start + 1, ready + 3)
        ]  # fmt: skip
        cases.append((start, ready, queries, keys, values, last, window, sinks))
    out = run(part, in_cycles(part, cycles))
    for n, (start, ready, queries, keys, values, last, window, sinks) in enumerate(cases):
        if not size["SINKS"]:  # what stands there makes no difference
            sinks = np.full(heads, fixed_point.NO_SINK, np.int64)
        expected = fixed_point.attend(queries, keys, values, last, window, sinks)[0]
        assert (out["mixed"][[ready, ready + 2]] == expected).all()
        assert not out["done"][start + 1 : ready].any()
        assert out["done"][ready : ready + 3].all()
        if n % 3 == 0:
            first = max(0, last - window + 1) if window else 0
            for h in range(heads):
                seen = [of[h // group, first : last + 1].tolist() for of in (keys, values)]
                sink = int(sinks[h]) if size["SINKS"] else None
                one = by_hand.attend(queries[0, h].tolist(), *seen, sink)
                assert one == expected[h * head : h * head + head].tolist()
