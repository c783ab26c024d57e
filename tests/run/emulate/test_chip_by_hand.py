"""A whole model as docs/vector-unit.md spells it, in exact fractions, against the emulator's chip."""

import numpy as np
import pytest

import by_hand
import hnlpu
from helpers import bfloat16, write_checkpoint
from hnlpu.model.checkpoint import bfloat16_to_float32
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import chip_tokens, open_language_model
from hnlpu.silicon.hardwire import open_build

ROPE = {
    "rope_scaling": {
        "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
        "truncate": False, "original_max_position_embeddings": 8,
    }
}  # fmt: skip
SHAPE = {
    "hidden": 32, "intermediate": 32, "heads": 4, "kv_heads": 2, "head_dim": 8, "experts": 3,
    "active": 2, "vocab": 40, "sliding_window": 3, "eos_token_id": None,
}  # fmt: skip
TOKENS = [3, 17, 0, 39, 17, 8]


class ByHand:
    """The model of a build, a token at a time: the section of gpt-oss in the page, line by line."""

    def __init__(self, build):
        self.build, self.a = build, build.architecture
        self.bits = build.manifest.policy.activation_bits
        self.shapes = build.shapes()
        frequencies, self.factor = self.a.rope.frequencies(self.a.head_dim)
        turn = 2 * by_hand.Fraction(by_hand.pi())
        self.steps = [
            by_hand.nearest(by_hand.Fraction(float(f)) / turn * 2**32) for f in frequencies
        ]
        self.query_factor = by_hand.nearest(by_hand.Fraction(2**16 / self.a.head_dim**0.5))
        self.epsilon = by_hand.nearest(
            self.a.hidden_size * by_hand.Fraction(self.a.rms_norm_eps) * 2**32
        )
        self.memory = [([], []) for _ in range(self.a.num_hidden_layers)]

    def vector(self, name, row=None):
        raw = self.build.tensors[name].map()
        return bfloat16_to_float32(raw if row is None else raw[row]).tolist()

    def norm(self, x, name):
        weights = [by_hand.real(w * len(x) ** 0.5) for w in self.vector(name)]
        return by_hand.norm(x, weights, self.epsilon)

    def project(self, name, x, index=0):
        matrix = self.build.matrix(self.shapes[name], index)
        activations, s = by_hand.quantize(x, self.bits)
        bias = [0.0] * matrix.rows if matrix.bias is None else matrix.bias.tolist()
        return [
            by_hand.from_sums(
                sum(w * v for w, v in zip(row, activations, strict=True)), s, b, by_hand.real(c)
            )
            for row, b, c in zip(
                matrix.integers().tolist(), matrix.row_exponents.tolist(), bias, strict=True
            )
        ]

    def heads(self, y):
        d = self.a.head_dim
        return [y[i : i + d] for i in range(0, len(y), d)]

    def attention(self, layer, h, position):
        name = f"model.layers.{layer}.self_attn."
        q, k, v = (self.heads(self.project(f"{name}{part}_proj", h)) for part in "qkv")
        q, k = (
            [by_hand.rotate(head, position, self.steps, self.factor) for head in heads]
            for heads in (q, k)
        )
        keys, values = self.memory[layer]
        keys.append([[by_hand.to_key(x, 2**16) for x in head] for head in k])
        values.append([[by_hand.to_key(x, 2**16) for x in head] for head in v])
        first = max(0, position + 1 - (self.a.window(layer) or position + 1))
        group = self.a.num_attention_heads // self.a.num_key_value_heads
        sinks = [by_hand.real(x) for x in self.vector(name + "sinks")]
        out = []
        for n, head in enumerate(q):
            query = [by_hand.to_key(x, self.query_factor) for x in head]
            seen = ([row[n // group] for row in memory[first:]] for memory in (keys, values))
            out += by_hand.attend(query, *seen, sinks[n])
        return self.project(name + "o_proj", out)

    def experts(self, layer, h, x):
        name = f"model.layers.{layer}.mlp."
        chosen, shares = by_hand.route(self.project(name + "router", h), self.a.num_experts_per_tok)
        alpha, limit = by_hand.real(self.a.swiglu_alpha), by_hand.real(self.a.swiglu_limit)
        outputs = []
        for expert in chosen:
            y = self.project(name + "experts.gate_up_proj", h, expert)
            gated = [
                by_hand.swiglu(gate, up, alpha, limit)
                for gate, up in zip(y[::2], y[1::2], strict=True)
            ]
            outputs.append(self.project(name + "experts.down_proj", gated, expert))
        return [by_hand.mix(v, [y[i] for y in outputs], shares) for i, v in enumerate(x)]

    def logits(self, token, position):
        x = [by_hand.real(v) for v in self.vector("model.embed_tokens.weight", token)]
        for layer in range(self.a.num_hidden_layers):
            name = f"model.layers.{layer}."
            y = self.attention(layer, self.norm(x, name + "input_layernorm.weight"), position)
            x = [by_hand.add(a, b) for a, b in zip(x, y, strict=True)]
            x = self.experts(layer, self.norm(x, name + "post_attention_layernorm.weight"), x)
        return self.project("lm_head", self.norm(x, "model.norm.weight"))


@pytest.fixture(scope="module", params=[12, 5])
def build(request, tmp_path_factory):
    """A small model with lively gates and attention, of 12 or of 5 bits."""
    folder = tmp_path_factory.mktemp(f"bits{request.param}")
    random = np.random.default_rng(4)
    lively = {
        f"model.layers.{layer}.{name}": bfloat16(spread * random.standard_normal(shape))
        for layer in range(2)
        for name, shape, spread in (
            ("mlp.experts.gate_up_proj_bias", (3, 64), 6),
            ("self_attn.q_proj.weight", (32, 32), 0.5),
            ("self_attn.k_proj.weight", (16, 32), 0.5),
            ("self_attn.v_proj.weight", (16, 32), 0.3),
        )
    }
    write_checkpoint(folder / "checkpoint", tensors=lively, **SHAPE, **ROPE)
    policy = make_policy(activation_bits=request.param)
    return open_build(hnlpu.build(folder / "checkpoint", folder / "build", policy))


def test_logits_are_those_of_the_specification(build):
    model, run = ByHand(build), open_language_model(build.directory, numerics="chip").transformer
    assert model.factor > 1.3
    found = run.logits(run.forward(np.array(TOKENS), run.new_cache()))
    assert found.tolist() == [model.logits(token, n) for n, token in enumerate(TOKENS)]


@pytest.mark.parametrize(("inverse", "temperature"), [(0, 0.0), (43691, 1.5)])
def test_answers_are_those_of_the_specification(build, inverse, temperature):
    model, random = ByHand(build), by_hand.Random(11)
    answer, given = [], [5, 6]
    logits = [model.logits(token, n) for n, token in enumerate(given)][-1]
    for n in range(4):
        answer.append(by_hand.sample(logits, inverse, random))
        logits = model.logits(answer[-1], len(given) + n)
    assert chip_tokens(build, given, 4, temperature, seed=11) == answer
