"""Sequence mixers as instances of the form, each beside its definition, all with values v [n, heads, V]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hnlpu.model.network import Value
from hnlpu.model.network.composites import (
    attend,
    causal_conv,
    delta_rule,
    linear_attention,
    retention,
    ssm_scan,
    unit_norm,
    wkv,
)
from studies.mixers import definitions
from studies.mixers.composed import composed, decays, normal

Array = np.ndarray[Any, Any]
HEADS, KEY, WIDTH = 3, 4, 5
WINDOW = 4


@dataclass(frozen=True)
class Mixer:
    """A mixer with everything but its values drawn: values [n, heads, V] to outputs of that shape.

    `ours` is the composite, run by the interpreter in float32; `theirs` the definition.
    """

    ours: Callable[[Array], Array]
    theirs: Callable[[Array], Array]


def mixers(random: np.random.Generator, n: int) -> dict[str, Mixer]:
    """Each mixer over n positions."""
    q, k = (normal(random, n, HEADS, KEY) for _ in range(2))
    return {
        "softmax attention": _attention(q, k, None),
        "windowed attention": _attention(q, k, WINDOW),
        "linear attention": Mixer(
            lambda v: composed(linear_attention, {"q": q, "k": k, "v": v}),
            lambda v: definitions.linear_attention(q, k, v),
        ),
        "retention": _retention(random, q, k),
        "RWKV": _wkv(random, q, k),
        "Mamba-2": _state_space(random, n),
        "gated delta rule": _delta_rule(random, q, k),
        "causal convolution": _convolution(random),
    }


def _attention(q: Array, k: Array, window: int | None) -> Mixer:
    def write(q: Value, k: Value, v: Value) -> Value:
        return attend(q, k, v, scale=0.5, window=window)

    def shaped(y: Array) -> Array:
        return y.reshape(len(y), HEADS, -1)

    return Mixer(
        lambda v: shaped(composed(write, {"q": q, "k": k, "v": v})),
        lambda v: shaped(definitions.attention(q, k, v, 0.5, window=window)),
    )


def _retention(random: np.random.Generator, q: Array, k: Array) -> Mixer:
    decay = decays(random, HEADS)
    return Mixer(
        lambda v: composed(retention, {"q": q, "k": k, "v": v}, {"decay": decay}),
        lambda v: definitions.retention(q, k, v, decay),
    )


def _wkv(random: np.random.Generator, r: Array, k: Array) -> Mixer:
    decay, bonus = decays(random, *r.shape), normal(random, HEADS, KEY)
    return Mixer(
        lambda v: composed(wkv, {"r": r, "k": k, "v": v, "decay": decay}, {"bonus": bonus}),
        lambda v: definitions.wkv(r, k, v, decay, bonus),
    )


def _state_space(random: np.random.Generator, n: int) -> Mixer:
    dt, a, skip = decays(random, n, HEADS), -decays(random, HEADS), normal(random, HEADS)
    b_in, c_out = normal(random, n, 1, KEY), normal(random, n, 1, KEY)

    def write(x: Value, dt: Value, b: Value, c: Value, a: Value, skip: Value) -> Value:
        return ssm_scan(x, dt, a, b, c, skip)

    return Mixer(
        lambda v: composed(
            write, {"x": v, "dt": dt, "b": b_in, "c": c_out}, {"a": a, "skip": skip}
        ),
        lambda v: definitions.state_space(v, dt, b_in, c_out, a, skip),
    )


def _delta_rule(random: np.random.Generator, q: Array, k: Array) -> Mixer:
    beta = random.uniform(size=q.shape[:2]).astype(np.float32)
    decay = decays(random, *q.shape[:2])

    def write(q: Value, k: Value, v: Value, beta: Value, decay: Value) -> Value:
        return delta_rule(q * KEY**-0.5, unit_norm(k, 1e-6), v, beta, decay)

    return Mixer(
        lambda v: composed(write, {"q": q, "k": k, "v": v, "beta": beta, "decay": decay}),
        lambda v: definitions.delta_rule(q, k, v, beta, decay),
    )


def _convolution(random: np.random.Generator) -> Mixer:
    """The same taps for every width of a head, so that one matrix mixes the positions of a head."""
    taps = normal(random, HEADS, WINDOW)

    def write(v: Value, weight: Value) -> Value:
        return causal_conv(v.reshape(weight.sizes[0]), weight)

    def ours(v: Array) -> Array:
        weight = np.repeat(taps, v.shape[2], axis=0)
        y = composed(write, {"v": v}, {"weight": weight})
        return y.reshape(v.shape)

    def theirs(v: Array) -> Array:
        weight = np.repeat(taps, v.shape[2], axis=0)
        return definitions.causal_conv(v.reshape(len(v), -1), weight).reshape(v.shape)

    return Mixer(ours, theirs)


def mixing_matrix(mixer: Mixer, n: int) -> Array:
    """The matrix [heads, n, n] of a mixer, found by giving it a one at a position at a time.

    The n columns of values are the n unit vectors: output i's column j is what j's value adds to i.
    """
    probes = np.broadcast_to(np.eye(n, dtype=np.float32)[:, None], (n, HEADS, n))
    return mixer.ours(np.ascontiguousarray(probes)).transpose(1, 0, 2)
