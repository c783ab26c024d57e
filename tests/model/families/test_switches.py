"""Configs of decoders: silence means what transformers takes, and the proofs vary every switch."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from dense_readers import DENSE
from hnlpu.errors import HnlpuError, InvalidConfig, UnsupportedArchitecture
from hnlpu.model.families import find_family, network_of
from hnlpu.model.families._parts import GATES
from readers import CONFIGS

SEEDS = range(6)
"""Those of test_logits_are_those_of_another_reader."""


def config_of(family: str, seed: int) -> dict[str, Any]:
    return {"model_type": family, **CONFIGS[family](np.random.default_rng(seed))}


def outcome(config: dict[str, Any]) -> object:
    try:
        return network_of(config)
    except HnlpuError as error:
        return type(error)


@pytest.mark.parametrize("family", [n for n in CONFIGS if n in CONFIG_MAPPING and n != "gpt_oss"])
def test_silence_is_the_default_of_transformers(family: str) -> None:
    """A key left out makes the network that its default makes; one that is needed is named."""
    config, theirs, ours = config_of(family, 1), CONFIG_MAPPING[family], find_family(family).config
    for key in config.keys() & vars(theirs).keys():
        if key in ("model_type", "max_position_embeddings", "rope_parameters"):
            continue  # no limit is set in silence, and ropes have tests of their own
        silent = outcome({k: v for k, v in config.items() if k != key})
        field = ours.model_fields.get(key)
        needed = silent is InvalidConfig and field is not None and field.is_required()
        same = silent == outcome({**config, key: getattr(theirs, key)})
        assert needed or same, key


@pytest.mark.parametrize("family", DENSE)
def test_every_switch_takes_every_value(family: str) -> None:
    """Of flags both, of choices and of numbers that may be absent more than one."""
    configs, fields = [config_of(family, n) for n in SEEDS], find_family(family).config.model_fields
    given = {key for config in configs for key in config}
    for key in given & fields.keys() - {"max_position_embeddings"}:
        values = {repr(config.get(key)) for config in configs}
        if fields[key].annotation is bool:
            assert values >= {"True", "False"}, key
        elif fields[key].annotation in (str, float) or get_args(fields[key].annotation):
            always = key == "sliding_window" and "use_sliding_window" in fields
            assert len(values) > 1 or always or key == "attention_bias", key


def test_every_activation_and_kind_of_rope_is_run() -> None:
    configs = [config_of(family, seed) for family in DENSE for seed in SEEDS]
    acts = {c.get("hidden_act", c.get("hidden_activation")) for c in configs}
    assert acts == set(GATES)
    ropes = [c["rope_parameters"] for c in configs]
    kinds = {r.get("full_attention", r)["rope_type"] for r in ropes}
    assert kinds == {"default", "linear", "dynamic", "llama3", "yarn", "longrope"}


def test_a_window_of_llama_is_refused() -> None:
    """transformers' Llama attends to all positions, whatever its config says of a window."""
    config = config_of("llama", 0) | {"sliding_window": 3}
    theirs = AutoConfig.for_model(**config)
    theirs._attn_implementation = "eager"
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(theirs).eval()
    tokens = torch.arange(12)[None]
    logits = model(tokens).logits
    model.config.sliding_window = None
    assert (model(tokens).logits == logits).all()
    with pytest.raises(UnsupportedArchitecture, match="or say model_type mistral"):
        find_family("llama").read(config)
