"""RWKV-7 in torch, from its paper (arXiv 2503.14456, section 4), position by position.

Names of tensors are those of flash-linear-attention's checkpoints; nothing here is of the package.
Memories are the paper's: S [V, K], S = S (diag(w) - k^T (a * k)) + v k~^T, y = S r.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.nn.functional import group_norm, layer_norm, normalize

Tensors = dict[str, torch.Tensor]


def tensors_of(c: dict[str, Any], random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random tensors of a model."""
    n, heads, size = c["hidden_size"], c["hidden_size"] // c["head_dim"], c["head_dim"]
    inner = c["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {"model.embeddings.weight": (c["vocab_size"], n)}
    norms = ["model.norm"]
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        norms += [p + "attn_norm", p + "ffn_norm", p + "attn.g_norm"]
        norms += [p + "pre_norm"] * (layer == 0 and c["norm_first"])
        shapes |= {f"{p}attn.x_{of}": (1, 1, n) for of in "rwkvag"}
        shapes |= {f"{p}attn.{of}_proj.weight": (n, n) for of in "rkvo"}
        shapes |= {p + "attn.k_k": (n,), p + "attn.k_a": (n,), p + "attn.r_k": (heads, size)}
        for of, dim in (("w", "decay"), ("a", "a"), ("g", "gate"), ("v", "v")):
            rank, lora = c[f"{dim}_low_rank_dim"], f"{p}attn.{of}_lora.lora."
            if of == "v" and layer == 0:
                continue
            shapes |= {lora + "0.weight": (rank, n), lora + "2.weight": (n, rank)}
            shapes |= {} if of == "g" else {lora + "2.bias": (n,)}
        shapes |= {p + "ffn.x_k": (n,), p + "ffn.key.weight": (inner, n)}
        shapes |= {p + "ffn.value.weight": (n, inner)}
    shapes |= {f"{name}.{of}": (n,) for name in norms for of in ("weight", "bias")}
    if not c["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (c["vocab_size"], n)
    found = {}
    for name, shape in shapes.items():
        middle = 1.0 if name.endswith("norm.weight") else 0.5 if ".x_" in name else 0.0
        spread = (
            1.0 if "embeddings" in name else 1 / math.sqrt(shape[-1]) if len(shape) == 2 else 0.3
        )
        found[name] = random.normal(middle, spread, shape).astype(np.float32)
    return found


def logits_of(c: dict[str, Any], of: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """Logits [n, vocabulary], in float64."""
    t: Tensors = {name: torch.tensor(x, dtype=torch.float64) for name, x in of.items()}
    x = t["model.embeddings.weight"][torch.tensor(tokens)]
    first = None
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        if p + "pre_norm.weight" in t:
            x = _norm(x, p + "pre_norm", t, c)
        mixed, first = _time_mix(_norm(x, p + "attn_norm", t, c), p + "attn.", t, first, c)
        x = x + mixed
        h = _norm(x, p + "ffn_norm", t, c)
        h = torch.lerp(h, _before(h), t[p + "ffn.x_k"]) @ t[p + "ffn.key.weight"].T
        x = x + h.relu() ** 2 @ t[p + "ffn.value.weight"].T
    x = _norm(x, "model.norm", t, c)
    head = t.get("lm_head.weight", t["model.embeddings.weight"])
    return np.asarray(x @ head.T, np.float32)


def _norm(x: torch.Tensor, name: str, t: Tensors, c: dict[str, Any]) -> torch.Tensor:
    return layer_norm(x, x.shape[-1:], t[name + ".weight"], t[name + ".bias"], c["norm_eps"])


def _before(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(x[:1]), x[:-1]])


def _time_mix(
    h: torch.Tensor, p: str, t: Tensors, first: torch.Tensor | None, c: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    n, size = c["hidden_size"], c["head_dim"]
    x = {of: torch.lerp(h, _before(h), t[f"{p}x_{of}"][0, 0]) for of in "rwkvag"}

    def low(of: str, inner: Any = lambda y: y) -> torch.Tensor:
        y = inner(x[of] @ t[f"{p}{of}_lora.lora.0.weight"].T) @ t[f"{p}{of}_lora.lora.2.weight"].T
        return y + t.get(f"{p}{of}_lora.lora.2.bias", torch.zeros(1, dtype=torch.float64))

    r, k, v = (x[of] @ t[f"{p}{of}_proj.weight"].T for of in "rkv")
    w = torch.exp(-math.exp(-0.5) * low("w", torch.tanh).sigmoid())
    v = v if first is None else torch.lerp(v, first, low("v").sigmoid())
    a, g = low("a").sigmoid(), low("g", torch.sigmoid)
    removed = normalize((k * t[p + "k_k"]).reshape(len(h), -1, size), dim=-1)
    replaced = (k * torch.lerp(torch.ones_like(a), a, t[p + "k_a"])).reshape(removed.shape)
    r, w, a = (y.reshape(removed.shape) for y in (r, w, a))
    heads = v.reshape(removed.shape)
    memory = torch.zeros(heads.shape[1], size, size, dtype=torch.float64)
    out = []
    for i in range(len(h)):
        rate = (a * removed)[i]
        turn = torch.diag_embed(w[i]) - removed[i][:, :, None] * rate[:, None]
        memory = memory @ turn + heads[i][:, :, None] * replaced[i][:, None]
        out.append((memory @ r[i][:, :, None])[..., 0].reshape(n))
    y = group_norm(
        torch.stack(out),
        n // size,
        t[p + "g_norm.weight"],
        t[p + "g_norm.bias"],
        size * c["norm_eps"],
    )
    bonus = (r * replaced * t[p + "r_k"]).sum(-1, keepdim=True) * heads
    y = (y + bonus.reshape(len(h), n)) * g @ t[p + "o_proj.weight"].T
    return y, v if first is None else first
