"""Composites as docs/vector-unit.md has them done at once, for `network_by_hand`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

import by_hand
from by_hand import nearest, real, value
from fixed_by_hand import Fixed, along, every
from hnlpu.model.network import Network, Span, ops, span_ends


class CompositesByHand:
    """What `NetworkByHand` does of a span: its values, states and position are its own."""

    network: Network
    position: int
    values: dict[str, Any]
    kept: dict[str, list[Any]]

    def fixed(self, arg: Any) -> Fixed:
        """A value, or a parameter as values."""
        found = self.values[arg]
        return found if isinstance(found, Fixed) else Fixed(every(real, found.astype(float)), 16)

    def at_once(self, span: Span) -> None:
        taken, given = span_ends(self.network, span)
        options: Mapping[str, Any] = dict(span.options)
        made = getattr(self, f"_{span.composite}")(taken, options, span)
        self.values.update(zip(given, made, strict=True))

    def _plain(self, name: str) -> Any:
        return self.fixed(name).to(16)

    def _weights(self, name: str, x: Any) -> Any:
        scaled = np.float64(self.values[name]) * math.sqrt(x.shape[-1])
        return np.broadcast_to(every(real, scaled), x.shape)

    def _norm(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        x, n = self._plain(taken[0]), self._plain(taken[0]).shape[-1]
        weights = self._weights(taken[1], x)
        epsilon = max(1, math.floor(n * options["eps"] * 2**32 + 0.5))
        rows = zip(x.reshape(-1, n).tolist(), weights.reshape(-1, n).tolist(), strict=True)
        made = [by_hand.norm(row, weight, epsilon) for row, weight in rows]
        return [Fixed(np.array(made, object).reshape(x.shape), 16)]

    def _layer_norm(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        x = self._plain(taken[0])
        n = x.shape[-1]
        centred = along(lambda row: [value(v - nearest(Fraction(sum(row), n))) for v in row], x)
        self.values["centred"] = Fixed(centred, 16)
        (normed,) = self._norm(("centred", taken[1]), options, span)
        bias = every(real, np.float64(self.values[taken[2]]))
        return [Fixed(every(by_hand.add, normed.x, bias), 16)]

    def _unit_norm(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        epsilon = max(1, math.floor(options["eps"] * 2**32 + 0.5))
        return [
            Fixed(along(lambda row: by_hand.unit_norm(row, epsilon), self._plain(taken[0])), 24)
        ]

    def _turns(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        turn, factor = 2 * Fraction(by_hand.pi()), options["scale"]
        steps = [nearest(Fraction(float(f)) / turn * 2**32) for f in self.values[taken[0]]]
        angles = [int(self.values[taken[1]].x) * step % 2**32 for step in steps]
        sides = (
            [by_hand.sine((a + ahead) % 2**32, factor) for a in angles] for ahead in (2**30, 0)
        )
        return [Fixed(np.array(side, object), 24) for side in sides]

    def _rope(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        x, pairs = self._plain(taken[0]), options["pairs"]
        cos, sin = (self.values[name].to(24) for name in taken[1:])
        a, b = x[..., :pairs], x[..., pairs : 2 * pairs]
        turned = [
            every(lambda v: value(nearest(Fraction(v, 2**24))), side)
            for side in (a * cos - b * sin, b * cos + a * sin)
        ]
        return [Fixed(np.concatenate([*turned, x[..., 2 * pairs :]], -1), 16)]

    def _softmax(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        if not options["sink"]:
            return [Fixed(along(lambda row: by_hand.softmax(row, []), self._plain(taken[0])), 24)]
        sinks, x = (self._plain(name) for name in taken)
        pairs = zip(x.reshape(-1, x.shape[-1]).tolist(), sinks.reshape(-1, 1).tolist(), strict=True)
        made = [by_hand.softmax(row, sink) for row, sink in pairs]
        return [Fixed(np.array(made, object).reshape(x.shape), 24)]

    def _route(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        of_all = options["share_first"] and not options["normalise"]
        chosen, shares = by_hand.route(self._plain(taken[0]).tolist(), options["k"], of_all)
        found = {
            True: Fixed(np.array(chosen, object), 0),
            False: Fixed(np.array(shares, object), 24),
        }
        _, given = span_ends(self.network, span)
        numbers = {s.outs[1] for s in self.network.steps if isinstance(s.op, ops.TopK)}
        return [found[name in numbers] for name in given]

    def _clamped_swiglu(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        x, (alpha, limit) = self._plain(taken[0]), (real(options[n]) for n in ("alpha", "limit"))
        opened = every(lambda g, u: by_hand.swiglu(g, u, alpha, limit), x[..., ::2], x[..., 1::2])
        return [Fixed(opened, 16)]

    def _attend(self, taken: Any, options: Any, span: Span) -> list[Fixed]:
        k, v, q, *sink = taken
        factor = math.floor(2**16 * Fraction(options["scale"]) + by_hand.HALF)
        written = [
            s.op.state for s in self.network.steps[span.start : span.stop]
            if isinstance(s.op, ops.Write)
        ]  # fmt: skip
        for state, name in zip(written, (k, v), strict=True):
            self.kept[state].append(every(lambda x: by_hand.to_key(x, 2**16), self._plain(name)))
        first = max(0, self.position + 1 - (options["window"] or self.position + 1))
        keys, values = (np.stack(self.kept[state][first:]) for state in written)
        queries = every(lambda x: by_hand.to_key(x, factor), self._plain(q))
        sinks = [None] * len(queries)
        if sink:
            sinks = every(real, np.float64(self.values[sink[0]]).ravel()).tolist()
        out, group = [], len(queries) // keys.shape[1]
        for head, query in enumerate(queries.tolist()):
            seen = (x[:, head // group].tolist() for x in (keys, values))
            out += by_hand.attend(query, *seen, sinks[head], options["softcap"] or None)
        return [Fixed(np.array(out, object), 16)]
