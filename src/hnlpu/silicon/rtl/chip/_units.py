"""Composites that units of the chip do at once: norm, RoPE, attention, gates and experts of gpt-oss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hnlpu.arithmetic.fixed_point import (
    FRACTION,
    KEY_FRACTION,
    UNIT_FRACTION,
    to_fixed,
    turns,
)
from hnlpu.errors import DoesNotFit
from hnlpu.model.network import Given, Span, ops, span_ends
from hnlpu.silicon.rtl.chip._assembler import Assembler, fixed
from hnlpu.silicon.rtl.chip._instructions import Op, Operand
from hnlpu.silicon.rtl.chip._norms import layer_norm, norm, unit_norm
from hnlpu.silicon.rtl.chip._program import AttentionSizes, ExpertSizes, RopeFactor, parts_of_heads
from hnlpu.silicon.rtl.chip._registers import Beats, Register
from hnlpu.silicon.rtl.chip._span_sizes import ends, head, sizes
from hnlpu.silicon.rtl.chip._values import Beside, Pairs, RegisterRows

LARGEST_ROPE_FACTOR = 2.5
"""Entries of the table of sines rise by less than 2^18."""
LARGEST_LIMIT = 16383.0
"""SwiGLU adds one to what it clamps."""
MOST_RANKS = 16
MOST_LAYERS = 256
"""Instructions number ranks and attention's layers."""


def angles(a: Assembler, span: Span) -> None:
    """Cosines and sines of the position, for the layers that take them.

    A sequence keeps one set.  The first is worked out at once, others when a layer takes them.
    """
    taken, given = span_ends(a.network, span)
    [table] = [name for name in taken if name in a.uses.parameters] or [""]
    source = a.uses.parameters[table].source if table else None
    if not isinstance(source, Given):
        a.refuse("turns", span.start, "frequencies that are no numbers of the network")
    found = turns(np.array(source.values, np.float32))
    factor = float(span.option("scale"))
    if not factor <= LARGEST_ROPE_FACTOR:
        raise DoesNotFit(
            f"a factor of {factor:g} on RoPE: the table of sines holds {LARGEST_ROPE_FACTOR:g} at most"
        )
    if a.rope is not None and a.rope.factor != factor:
        a.refuse("turns", span.start, f"a factor of {factor:g} beside one of {a.rope.factor:g}")
    a.angles.append(tuple(int(t) & 0xFFFFFFFF for t in found))
    if a.rope is None:
        a.rope = RopeFactor(factor)
        _turn_to(a, 0)
    place = Beside("angles", len(a.angles) - 1)
    a.places.update(dict.fromkeys(given, place))


def _turn_to(a: Assembler, which: int) -> None:
    """The sequence's cosines and sines become those of a set, if they are of another."""
    if a.turned != which:
        a.turned = which
        for pair, turn in enumerate(a.angles[which]):
            a.code.emit(Op.ANGLE, index=pair, immediate=turn)


def rope(a: Assembler, span: Span) -> None:
    """Heads turned by the position's angles, in place."""
    name, out = ends(a, span)
    size, pairs = sizes(a, name)[-1], int(span.option("pairs"))
    taken, _ = span_ends(a.network, span)
    sets = {a.places.get(turn) for turn in taken[1:]}
    [which] = sets if len(sets) == 1 else [None]
    if not isinstance(which, Beside) or which.what != "angles":
        a.refuse("rope", span.start, "cosines and sines that are not those of turns")
    head(a, span, size)
    x = a.value(name)
    _turn_to(a, which.number)
    beats = a.room(out, x.size, over=[name])
    if 2 * pairs == size:
        for register, dst in zip(x.beats, beats, strict=True):
            _turned(a, register, dst)
    else:
        _partly_turned(a, x.beats, beats, size, pairs)
    a.places[out] = RegisterRows(beats, x.size)


def _turned(a: Assembler, register: Register, dst: Register) -> None:
    a.code.multiply(None, register, Operand.COSINE, first=True)
    a.code.multiply(dst, register, Operand.SINE, swap=True, shift=UNIT_FRACTION)


def _partly_turned(a: Assembler, x: Beats, beats: Beats, size: int, pairs: int) -> None:
    """The first 2 * `pairs` numbers of every head apart to its halves, turned, and back among the others."""
    lane = np.arange(a.code.width)
    within, start = lane % size, lane // size * size
    first, second = within < pairs, (within >= size // 2) & (within < size // 2 + pairs)
    apart = np.where(first, lane, np.where(second, start + within - size // 2 + pairs, -1))
    back = np.where(
        within < pairs, lane, np.where(within < 2 * pairs, start + within - pairs + size // 2, -1)
    )
    [turned] = a.code.registers.pool(1, {*a.busy(), *x, *beats})
    for register, dst in zip(x, beats, strict=True):
        pattern = a.code.pattern(apart.tolist())
        a.code.emit(Op.MOVE, dst=turned, a=turned, b=register, index=pattern, first=True)
        _turned(a, turned, turned)
        a.code.emit(Op.MOVE, dst=dst, a=register, b=turned, index=a.code.pattern(back.tolist()))


def attend(a: Assembler, span: Span) -> None:
    """Keys and values into the attention unit's memory, queries through it."""
    *names, sinks = a.uses.attention(span)
    _, given = span_ends(a.network, span)
    layer = _attention_layer(a, span, *names[::2], sinks=sinks)
    factor, one = int(to_fixed(np.array(span.option("scale")))), 1 << FRACTION
    scaled = []
    for name, bank, by in zip(names, ("query", "key", "value"), (factor, one, one), strict=True):
        held = a.value(name)
        beats = a.code.registers.bank(f"scaled {bank}", len(held.beats))
        for place, register in zip(beats, held.beats, strict=True):
            shift = 2 * FRACTION - KEY_FRACTION
            a.code.multiply(
                place, register, Operand.IMMEDIATE, first=True, shift=shift, immediate=by
            )
        scaled.append(beats)
    queries, keys, values = scaled
    for op, beats in ((Op.KEYS, keys), (Op.VALUES, values)):
        for beat, register in enumerate(beats):
            a.code.emit(op, a=register, index=beat, immediate=layer << 24)
    a.code.emit(Op.ACQUIRE, index="attention")
    for beat, register in enumerate(queries):
        a.code.emit(Op.QUERY, a=register, index=beat)
    window = int(span.option("window"))
    bounded = window if window < a.context else 0
    a.code.run("attention", immediate=layer << 24 | bounded)
    size = a.value(names[0]).size
    dst = a.room(given[0], size, over=names[:1])
    assert a.attention
    divided = a.attention.parts > 1
    own = queries[: a.attention.beats(a.code.width)] if divided else dst
    for beat, register in enumerate(own):
        a.code.emit(Op.MIXED, dst=register, index=beat)
    a.code.emit(Op.RELEASE, index="attention")
    if divided:
        a.code.send_values(own)
        a.code.meet()
        a.code.join_values(dst)
        a.code.emit(Op.PART)
    a.places[given[0]] = RegisterRows(dst, size)


def _attention_layer(a: Assembler, span: Span, query: str, value: str, *, sinks: str | None) -> int:
    """The number of an attention among the chip's, all of one shape."""
    (heads, size), (key_heads, width) = sizes(a, query), sizes(a, value)
    head(a, span, size)
    if width != size:
        a.refuse("attend", span.start, f"values of {width} numbers beside keys of {size}")
    if span.option("softcap"):
        a.refuse("attend", span.start, "a soft cap on scores")
    parts = parts_of_heads(heads, key_heads, size, a.code.width, a.chips)
    found = AttentionSizes(heads, key_heads, size, 1, (sinks,) if sinks else (), parts)
    known = a.attention
    if known is not None:
        found = replace(found, layers=known.layers + 1, sinks=known.sinks + found.sinks)
        alike = (heads, key_heads) == (known.heads, known.key_heads)
        if not alike or bool(known.sinks) != bool(sinks):
            a.refuse("attend", span.start, "heads or sinks unlike those of the layers before")
    if found.layers > MOST_LAYERS:
        raise DoesNotFit(f"{found.layers} layers of attention: {MOST_LAYERS} have a number")
    a.attention = found
    return found.layers - 1


def clamped_swiglu(a: Assembler, span: Span) -> None:
    """Gates and ups to what they open."""
    name, out = ends(a, span)
    limit_option = float(span.option("limit"))
    if limit_option > LARGEST_LIMIT:
        raise DoesNotFit(f"swiglu_limit {limit_option:g}: at most {LARGEST_LIMIT:g} is clamped to")
    pairs = a.places[name]
    if not isinstance(pairs, Pairs):
        a.refuse("clamped_swiglu", span.start, "gates and ups that are no matrix's sums")
    limit, alpha = fixed(limit_option), fixed(float(span.option("alpha")))
    opened = a.code.registers.bank("opened", len(pairs.gate.beats))
    for gate, up, t in zip(pairs.gate.beats, pairs.up.beats, opened, strict=True):
        a.code.emit(Op.CLAMP, a=gate, dst=gate, immediate=limit)
        a.code.emit(Op.CLAMP, a=up, dst=up, immediate=limit, both=True)
        a.code.multiply(t, gate, Operand.IMMEDIATE, first=True, shift=FRACTION, immediate=alpha)
        a.code.emit(Op.SIGMOID, a=t, dst=t)
        a.code.multiply(t, gate, Operand.REGISTER, b=t, first=True, shift=UNIT_FRACTION)
        a.code.emit(Op.ADD, a=up, dst=up, immediate=1 << FRACTION)
        a.code.multiply(t, up, Operand.REGISTER, b=t, first=True, shift=FRACTION)
    a.places[out] = RegisterRows(opened, pairs.gate.size)


def route(a: Assembler, span: Span) -> None:
    """The best experts of a router's logits, and their shares, which the sequence keeps.

    Where shares are those of all experts, the others are taken too, behind the last rank.
    """
    name, _ = ends(a, span)
    _, given = span_ends(a.network, span)
    logits, k = a.value(name), int(span.option("k"))
    of_all = bool(span.option("share_first")) and not bool(span.option("normalise"))
    sharing = logits.size if of_all else k
    if logits.size > a.code.width:
        raise DoesNotFit(
            f"{logits.size} experts: the router compares {a.code.width} logits at most"
        )
    most = MOST_RANKS if sharing == k else MOST_RANKS - 1
    if k > most:
        raise DoesNotFit(f"{k} experts a token: at most {most} have a rank")
    found = ExpertSizes(logits.size, k, sharing)
    if a.experts not in (None, found):
        a.refuse("route", span.start, "experts unlike those of the layers before")
    a.experts = found
    a.code.emit(Op.ACQUIRE, index="router")
    for place in range(sharing):
        a.code.emit(Op.TOP, a=logits.beats[0], rank=min(place, k), first=place == 0)
    a.code.run("router")
    a.code.emit(Op.SHARES)
    a.code.emit(Op.RELEASE, index="router")
    a.places.update(dict.fromkeys(given, Beside("routed")))


def moe(a: Assembler, span: Span) -> None:
    """Router, then expert by expert, then their sum by shares."""
    [routed] = [
        s for s in a.network.spans
        if s.composite == "route" and span.start <= s.start and s.stop <= span.stop
    ]  # fmt: skip
    mixed = a.network.steps[span.stop - 1]
    if mixed.op != ops.Dot("k,kn->n") or a.walk is None:
        a.refuse("moe", span.stop - 1, "experts that are not added by their shares")
    a.walk(span.start, routed.stop)
    outputs = _experts(a, span, routed, str(mixed.args[1]))
    out, a.stop = mixed.outs[0], span.stop
    dst = a.room(out, outputs[0].size)
    for beat, h in enumerate(dst):
        for rank, output in enumerate(outputs):
            last = rank == len(outputs) - 1
            a.code.multiply(
                h if last else None, output.beats[beat], Operand.SHARE, first=rank == 0, rank=rank,
                shift=UNIT_FRACTION,
            )  # fmt: skip
    a.places[out] = RegisterRows(dst, outputs[0].size)


def _experts(a: Assembler, span: Span, routed: Span, result: str) -> list[RegisterRows]:
    """Outputs of the chosen experts, each by the same steps."""
    assert a.experts is not None
    assert a.walk is not None
    outputs: list[RegisterRows] = []
    outside, a.result = frozenset(a.places), result
    for rank in range(a.experts.ranks):
        a.rank = rank
        a.protected = outside if rank < a.experts.ranks - 1 else frozenset()
        begins = a.code.have(rank) if a.has_experts else None
        a.walk(routed.stop, span.stop - 1)
        outputs.append(a.value(result))
        if begins is not None:
            a.code.end_have(begins)
            # what was made on the way is there on one chip only
            a.places = {name: place for name, place in a.places.items() if name in outside}
        kept = f"{result} of rank {rank}"
        a.places[kept] = outputs[-1]
        a.uses.last[kept] = span.stop - 1
        outside |= {kept}
    a.rank, a.result, a.protected = None, None, frozenset()
    if a.has_experts:
        _tell_experts(a, outputs)
    return outputs


def _tell_experts(a: Assembler, outputs: list[RegisterRows]) -> None:
    """What experts gave, from the chips that have them to all."""
    beat = 0
    for rank, output in enumerate(outputs):
        beat = a.code.send_values(output.beats, beat, rank=rank, banked=True)
    a.code.meet()
    beat = 0
    for rank, output in enumerate(outputs):
        beat = a.code.join_values(output.beats, beat, rank=rank, banked=True)
    a.code.emit(Op.PART)


AT_ONCE: dict[str, Callable[[Assembler, Span], None]] = {
    "attend": attend,
    "clamped_swiglu": clamped_swiglu,
    "layer_norm": layer_norm,
    "moe": moe,
    "norm": norm,
    "rope": rope,
    "route": route,
    "turns": angles,
    "unit_norm": unit_norm,
}
