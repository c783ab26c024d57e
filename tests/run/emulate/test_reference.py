"""The unquantised model against an independent implementation: transformers' GptOssForCausalLM."""

import json

import numpy as np
import pytest

from hnlpu.run.emulate import open_language_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-3  # absolute, on logits

SHAPES = {
    # past the sliding window, YaRN original context 16, plain grouped heads
    "small": {
        "vocab_size": 211, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
        "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8,
        "max_position_embeddings": 512,
        "rope_parameters": {
            "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
            "truncate": False, "original_max_position_embeddings": 16, "rope_theta": 150000.0,
        },
    },
    # odd layer count, one kv head, all experts active, truncated YaRN range, another theta
    "multi-query": {
        "vocab_size": 96, "hidden_size": 96, "intermediate_size": 32, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16,
        "num_local_experts": 3, "num_experts_per_tok": 3, "sliding_window": 5,
        "max_position_embeddings": 128,
        "rope_parameters": {
            "rope_type": "yarn", "factor": 4.0, "beta_fast": 8.0, "beta_slow": 1.0,
            "truncate": True, "original_max_position_embeddings": 32, "rope_theta": 10000.0,
        },
    },
    # plain RoPE, tied embeddings, one active expert, wide heads, all layers full
    "plain": {
        "vocab_size": 130, "hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 64,
        "num_local_experts": 5, "num_experts_per_tok": 1, "sliding_window": 128,
        "layer_types": ["full_attention", "full_attention"], "tie_word_embeddings": True,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "swiglu_limit": 2.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
}  # fmt: skip


def save_random(folder, name, seed):
    """A random bfloat16 checkpoint as transformers writes it, with lively biases and sinks."""
    torch.manual_seed(seed)
    config = transformers.GptOssConfig(**SHAPES[name])
    model = transformers.GptOssForCausalLM(config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim == 1 and "norm" in key:
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            else:
                scale = 0.3 if key.endswith(("bias", "sinks")) else parameter.shape[-1] ** -0.5
                parameter.copy_(scale * torch.randn_like(parameter))
    model.to(torch.bfloat16).save_pretrained(folder)


def reference_model(folder):
    return transformers.GptOssForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def our_logits(model, tokens, chunks):
    """Logits at every position when `tokens` arrive in pieces of the given sizes."""
    cache = model.transformer.new_cache()
    pieces, at = [], 0
    for size in chunks:
        part = np.array(tokens[at : at + size])
        pieces.append(model.transformer.logits(model.transformer.forward(part, cache)))
        at += size
    return np.concatenate(pieces)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_logits_agree_with_transformers(tmp_path, name, seed):
    save_random(tmp_path, name, seed)
    reference = reference_model(tmp_path)
    ours = open_language_model(tmp_path)
    tokens = np.random.default_rng(seed).integers(0, ours.vocab_size, 90).tolist()
    with torch.no_grad():
        expected = reference(torch.tensor([tokens])).logits[0].numpy()
    assert np.abs(expected).max() > 1  # the comparison means something
    for chunks in ([90], [1] * 90, [40, 1, 1, 48]):
        assert np.abs(our_logits(ours, tokens, chunks) - expected).max() < TOLERANCE


def test_incremental_decode_agrees_with_transformers_own(tmp_path):
    """Greedy continuation past the window and past YaRN's original context."""
    save_random(tmp_path, "small", 5)
    reference = reference_model(tmp_path)
    ours = open_language_model(tmp_path)
    prompt = [3, 1, 4, 1, 5]
    with torch.no_grad():
        expected = reference.generate(
            torch.tensor([prompt]), max_new_tokens=60, do_sample=False, eos_token_id=None
        )[0, len(prompt) :].tolist()
    found = [t.id for t in ours.generate(prompt, max_tokens=60, ignore_end=True)]
    assert found == expected


def test_both_config_generations_give_the_same_model(tmp_path):
    save_random(tmp_path, "small", 7)
    tokens = list(range(50))
    before = open_language_model(tmp_path).score(tokens).logprobs
    config = json.loads((tmp_path / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    config["experts_per_token"] = config.pop("num_experts_per_tok")
    config["torch_dtype"] = config.pop("dtype")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_language_model(tmp_path).score(tokens).logprobs == before


def test_scores_are_log_probabilities_of_transformers(tmp_path):
    save_random(tmp_path, "small", 3)
    tokens = np.random.default_rng(3).integers(0, 211, 40).tolist()
    score = open_language_model(tmp_path).score(tokens, top=4)
    with torch.no_grad():
        log_p = reference_model(tmp_path)(torch.tensor([tokens])).logits[0].log_softmax(-1)
    expected = log_p[torch.arange(39), torch.tensor(tokens[1:])]
    assert np.abs(np.array(score.logprobs) - expected.numpy()).max() < TOLERANCE
    assert abs(score.perplexity - float(torch.exp(-expected.mean()))) < 0.05
    for best, row in zip(score.top, log_p, strict=False):
        assert [t for t, _ in best] == row.topk(4).indices.tolist()
