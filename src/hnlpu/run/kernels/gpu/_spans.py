"""Spans that one kernel does at once, or two: each takes a span and writes its launches."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hnlpu.model.network import Span, Step, ops
from hnlpu.run.kernels.gpu import _vector_unit as vector_unit
from hnlpu.run.kernels.gpu._attention import attend
from hnlpu.run.kernels.gpu._lower import GpuLowering, NotOnDevice, Turned
from hnlpu.run.kernels.gpu._network import DeviceRun


def _inside(of: GpuLowering, span: Span) -> list[Step]:
    before = set(of.known.before)
    return [s for s in of.steps[span.start : span.stop] if not s.outs or not set(s.outs) <= before]


def _made_of(steps: list[Step], names: str) -> bool:
    return [type(step.op).__name__ for step in steps] == names.split()


def norm_at(of: GpuLowering, n: int, x: str) -> Span | None:
    """The norm that begins at step n and takes x."""
    for span in of.network.spans:
        if span.start == n and span.composite == "norm" and x in _inside(of, span)[0].args:
            return span
    return None


def _norm(of: GpuLowering, span: Span) -> None:
    write_norm(of, span, of.plain(_inside(of, span)[0].args[0]))


def write_norm(
    of: GpuLowering, span: Span, x: str, stream: str | None = None, more: str | None = None
) -> None:
    """The norm of x [..., n], and its integers where one step takes them.

    With `stream` and `more`, x is first made of their sum, where the stream lies.
    """
    steps = [s for s in _inside(of, span) if not isinstance(s.op, ops.Reshape)]
    if not _made_of(steps, "Dot Divide Add InverseRoot Mul Mul"):
        raise NotOnDevice("it is no RMSNorm of a vector with weights")
    weight, out, shape = of.constant(steps[-1].args[1]), steps[-1].outs[0], of.shape(x)
    if of.types[weight].shape != shape[-1:]:
        raise NotOnDevice("its rows have weights of their own")
    eps, digits = float(span.option("eps")), of.quantized(out)
    checked = digits is not None or out in of.kept

    def launch(now: DeviceRun) -> None:
        if more is not None:
            now.values[x] = now.values[str(stream)]
        flat = now.value(x).reshape(-1, shape[-1]).contiguous()
        added = None if more is None else now.value(more).reshape(flat.shape).contiguous()
        flags = now.flags(len(flat)) if checked else None
        normed, integers = vector_unit.norm(
            flat, now.constants[weight], eps, now.bits, flags, more=added
        )
        now.values[out] = normed.reshape(now.rows, *shape)
        if digits is not None and integers is not None:
            now.digits[digits] = integers

    of.add(launch, x, out, weight, *(name for name in (stream, more, digits) if name))
    of.own.add(out)


def _rope(of: GpuLowering, span: Span) -> None:
    steps = _inside(of, span)
    if not _made_of(steps, "Split Mul Mul Sub Mul Mul Add Concat"):
        raise NotOnDevice("it does not turn halves of heads")
    if of.shape(str(steps[0].args[0]))[-1] != 2 * int(span.option("pairs")):
        raise NotOnDevice("only a part of each head turns")
    x, cos, sin = of.plain(steps[0].args[0]), steps[1].args[1], steps[2].args[1]
    out = steps[-1].outs[0]
    among = [s for s in of.network.spans if s.composite == "attend"]
    if not all(any(a.start <= n < a.stop for a in among) for n in of.uses(out)):
        raise NotOnDevice("more than an attention takes the turned heads")
    if not {cos, sin} <= set(of.known.outside) or len(of.shape(x)) != 2:
        raise NotOnDevice("its angles are no values of the position alone")
    of.turned[out] = Turned(x, str(cos), str(sin))


def _attend(of: GpuLowering, span: Span) -> None:
    steps = _inside(of, span)
    written = [s for s in steps if isinstance(s.op, ops.Write)]
    if span.option("softcap"):
        raise NotOnDevice("it has a soft cap")
    first = next(s for s in steps if isinstance(s.op, ops.Dot))
    queries = {s.outs[0]: s.args[0] for s in steps if isinstance(s.op, ops.Reshape)}
    q = str(queries.get(str(first.args[0]), first.args[0]))
    k, v = (str(s.args[0]) for s in written)
    keys, values = (s.op.state for s in written if isinstance(s.op, ops.Write))
    sinks = _sinks(of, span, steps)
    turned = [of.turned.get(name) for name in (q, k)]
    by: tuple[str, ...] = ()
    match turned:
        case [None, None]:
            pass
        case [Turned(q, cos, sin), Turned(k, cos_too, sin_too)] if (cos, sin) == (cos_too, sin_too):  # fmt: skip
            by = (cos, sin)
        case _:
            raise NotOnDevice("its queries and keys turn by other angles")
    of.plain(v)
    if of.shape(k) != of.shape(v) or len(of.shape(q)) != 2 or of.shape(q)[1] % 2:
        raise NotOnDevice("its keys and values have other sizes")
    (heads, _), out = of.shape(q), steps[-1].outs[0]
    window, scale = int(span.option("window")), float(span.option("scale"))

    def launch(now: DeviceRun) -> None:
        now.values[out] = attend(
            now.value(q), now.value(k), now.value(v),
            (now.value(by[0]), now.value(by[1])) if by else None,
            now.states[keys], now.states[values], now.places, window,
            None if sinks is None else now.constants[sinks].reshape(heads).contiguous(), scale,
        )  # fmt: skip

    of.add(launch, q, k, v, *by, out, *([sinks] if sinks else []))
    of.own.add(out)


def _sinks(of: GpuLowering, span: Span, steps: list[Step]) -> str | None:
    if not span.option("sink"):
        return None
    (joined,) = (s for s in steps if isinstance(s.op, ops.Concat))
    return of.constant(joined.args[0])


def _route(of: GpuLowering, span: Span) -> None:
    steps = _inside(of, span)
    logits, k = of.plain(steps[0].args[0]), int(span.option("k"))
    of_all, normalise = bool(span.option("share_first")), bool(span.option("normalise"))
    (top,) = (s for s in steps if isinstance(s.op, ops.TopK))
    shares, chosen = (top if of_all and not normalise else steps[-1]).outs[0], top.outs[1]
    if len(of.shape(logits)) != 1:
        raise NotOnDevice("it routes more than one vector")

    def launch(now: DeviceRun) -> None:
        now.values[chosen], now.values[shares] = vector_unit.route(
            now.value(logits).contiguous(), k, of_all=of_all, normalise=normalise
        )

    of.add(launch, logits, chosen, shares)
    of.own.update((chosen, shares))


def _clamped_swiglu(of: GpuLowering, span: Span) -> None:
    steps = _inside(of, span)
    x, out = of.plain(steps[0].args[0]), steps[-1].outs[0]
    alpha, limit = (float(span.option(name)) for name in ("alpha", "limit"))
    shape, digits = of.shape(x), of.quantized(out)
    if digits is None or len(of.uses(out)) > 1:
        raise NotOnDevice("more than one matrix takes what it lets through")

    def launch(now: DeviceRun) -> None:
        flat = now.value(x).reshape(-1, shape[-1]).contiguous()
        flags = now.flags(len(flat))
        now.digits[digits] = vector_unit.swiglu(flat, alpha, limit, now.bits, flags)

    of.add(launch, x, digits)


def _silu(of: GpuLowering, span: Span) -> None:
    """x * sigmoid(x) times what it lets through, as integers."""
    steps = _inside(of, span)
    if not _made_of(steps, "Table Mul") or steps[0].op != ops.Table("sigmoid"):
        raise NotOnDevice("it is no x * sigmoid(x)")
    x, out = of.plain(steps[0].args[0]), steps[-1].outs[0]
    raised, shape = of.only_use(out, ops.Mul), of.shape(x)
    up = None if raised is None else next((a for a in raised.args if a != out), None)
    if raised is None or not isinstance(up, str) or up in of.known.constants:
        raise NotOnDevice("it lets nothing through")
    if of.plain(up) and of.shape(up) != shape:
        raise NotOnDevice("it lets something of another shape through")
    digits = of.quantized(raised.outs[0])
    if digits is None or len(of.uses(raised.outs[0])) > 1:
        raise NotOnDevice("more than one matrix takes what it lets through")
    if any(up in s.outs for s in of.steps[span.start :]):
        raise NotOnDevice("what it lets through comes behind it")
    of.done.update(of.uses(out))

    def launch(now: DeviceRun) -> None:
        gate, ups = (now.value(name).reshape(-1, shape[-1]) for name in (x, up))
        now.digits[digits] = vector_unit.gated(gate, ups, now.bits, now.flags(len(gate)))

    of.add(launch, x, up, digits)


SPANS: Mapping[str, Callable[[GpuLowering, Span], None]] = {
    "attend": _attend,
    "clamped_swiglu": _clamped_swiglu,
    "norm": _norm,
    "rope": _rope,
    "route": _route,
    "silu": _silu,
}
"""By the composite's name."""
