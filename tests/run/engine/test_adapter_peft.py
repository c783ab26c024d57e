"""Adapters as PEFT writes them, of every matrix, against PEFT and transformers in torch."""

import json

import numpy as np
import pytest

from hnlpu.errors import DamagedAdapter
from hnlpu.model.checkpoint import matrix_shapes
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import open_language_model
from hnlpu.run.engine import Adapted, Engine, Request, network_of, read_adapter
from hnlpu.silicon.hardwire import build, open_build

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

STACKS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
EVERYTHING = {
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "lm_head"],
    "target_parameters": [*STACKS, "mlp.router.weight"],
}
TOLERANCE = 2e-3  # absolute, on log-probabilities: activations have 16 bits here, torch's 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random checkpoint, and its build with 16-bit activations."""
    folder = tmp_path_factory.mktemp("peft")
    torch.manual_seed(0)
    config = transformers.GptOssConfig(
        vocab_size=97, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, num_local_experts=4,
        num_experts_per_tok=2, sliding_window=8, max_position_embeddings=512,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    model = transformers.GptOssForCausalLM(config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "norm" not in key:
                parameter.copy_(parameter.shape[-1] ** -0.5 * torch.randn_like(parameter))
    model.to(torch.bfloat16).save_pretrained(folder / "checkpoint")
    build(folder / "checkpoint", folder / "build", make_policy(activation_bits=16))
    return folder


def hardwired_in_torch(folder):
    """Transformers' model with the very weights that the build hardwires."""
    model = transformers.GptOssForCausalLM.from_pretrained(
        folder / "checkpoint", dtype=torch.float32, attn_implementation="eager"
    ).eval()
    opened = open_build(folder / "build")
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for shape in matrix_shapes(opened.architecture):
            values = [torch.tensor(opened.matrix(shape, i).values()) for i in range(shape.count)]
            if shape.role == "experts":
                parameters[shape.name].copy_(torch.stack([v.T for v in values]))
            else:
                parameters[shape.name + ".weight"].copy_(values[0])
    return model


def adapted_in_torch(folder, to, **targets):
    """The same with a random adapter, saved in `to` as PEFT does it."""
    torch.manual_seed(1)
    config = peft.LoraConfig(**{"r": 3, "lora_alpha": 6} | targets)
    model = peft.get_peft_model(hardwired_in_torch(folder), config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.copy_(0.15 * torch.randn_like(parameter))
    model.save_pretrained(to)
    return model


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "targets",
    [
        EVERYTHING,
        {"target_parameters": ["mlp.experts.down_proj"]},
        {"target_parameters": ["1.mlp.experts.gate_up_proj", "0.mlp.experts.down_proj"]},
        {"target_parameters": ["mlp.router.weight"]},
        {"target_modules": ["lm_head"]},
        {
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
            "rank_pattern": {"q_proj": 5, r"layers\.1\.self_attn\.v_proj": 2},
            "alpha_pattern": {"o_proj": 12, "k_proj": 1},
            "use_rslora": True,
        },
        {
            "target_modules": r".*\.(q|v)_proj",
            "exclude_modules": r".*\.0\..*v_proj",
            "init_lora_weights": "gaussian",
        },
        {"target_modules": ["q_proj", "o_proj"], "layers_to_transform": [1]},
        {"target_modules": ["q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"]},
        {"target_modules": ["v_proj"], "init_lora_weights": "orthogonal", "r": 4},
    ],
    ids=[
        "everything",
        "one stack",
        "another in each layer",
        "router",
        "unembedding",
        "patterns",
        "expressions",
        "one layer",
        "names of no module",
        "another beginning",
    ],
)
def test_log_probabilities_are_torchs(folder, tmp_path, targets):
    reference = adapted_in_torch(folder, tmp_path / "adapter", **targets)
    tokens = np.random.default_rng(0).integers(0, 97, 40).tolist()
    with torch.no_grad():
        logits = reference(torch.tensor([tokens])).logits[0, :-1]
    expected = torch.log_softmax(logits.double(), -1)[torch.arange(39), tokens[1:]].numpy()
    model = open_language_model(folder / "build")
    found = np.array(Adapted(model, tmp_path / "adapter").score(tokens).logprobs)
    plain = np.array(model.score(tokens).logprobs)
    assert np.abs(plain - expected).max() > 20 * TOLERANCE  # the adapter matters
    assert np.abs(found - expected).max() < TOLERANCE


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_part_is_pefts(folder, tmp_path):
    reference = adapted_in_torch(folder, tmp_path / "adapter", **EVERYTHING)
    opened = open_build(folder / "build")
    architecture = opened.architecture
    adapter = read_adapter(tmp_path / "adapter", opened.network)
    shapes = {shape.name: shape for shape in matrix_shapes(architecture)}
    assert set(adapter.parts) == set(shapes)
    assert adapter.weights == 3 * sum(
        s.count * (s.rows + s.columns) for s in matrix_shapes(architecture)
    )
    assert adapter.neurons == sum(s.count * (s.rows + 3) for s in matrix_shapes(architecture))
    merged = reference.merge_and_unload()
    before = dict(hardwired_in_torch(folder).named_parameters())
    after = dict(merged.named_parameters())
    for name, part in adapter.parts.items():
        key = name if name in after else f"{name}.weight"
        delta = (after[key] - before[key]).detach().numpy().reshape(len(part.down), -1)
        ours = part.scaling * part.down @ part.up  # [count, columns, rows]
        if name != key:
            ours = ours.transpose(0, 2, 1)
        assert np.abs(ours.reshape(delta.shape) - delta).max() < 1e-5


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_expert_adapter_does_not_depend_on_the_company(folder, tmp_path):
    adapted_in_torch(folder, tmp_path / "adapter", **EVERYTHING)
    model = open_language_model(folder / "build")
    adapters = {"mine": read_adapter(tmp_path / "adapter", network_of(model))}
    random = np.random.default_rng(1)
    requests = [
        Request(
            tuple(random.integers(0, 97, 5 + 3 * i).tolist()), max_tokens=6, top_logprobs=1,
            score_prompt=True, ignore_end=True, adapter="mine" if i % 3 else None,
        )
        for i in range(6)
    ]  # fmt: skip
    together = Engine(model, adapters=adapters).run(requests)
    for request, result in zip(requests, together, strict=True):
        assert Engine(model, adapters=adapters).run([request]) == [result]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["mlp.experts.down_proj"], "target_parameters"),
        (["mlp.experts.gate_up_proj"], "target_parameters"),
        ([], "target_parameters"),
        ("mlp.experts", "list of names"),
    ],
)
def test_experts_need_the_names_of_their_stacks(folder, tmp_path, targets, words):
    adapted_in_torch(folder, tmp_path / "adapter", target_parameters=STACKS)
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_parameters": targets}))
    with pytest.raises(DamagedAdapter, match=words):
        read_adapter(tmp_path / "adapter", open_build(folder / "build").network)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init_lora_weights": "pissa"}, "PEFT changes the base"),
        ({"init_lora_weights": "pissa_niter_4"}, "PEFT changes the base"),
        ({"init_lora_weights": "olora"}, "PEFT changes the base"),
        ({"alora_invocation_tokens": [5, 6]}, "alora_invocation_tokens is set"),
        ({"use_dora": True}, "use_dora is set"),
        ({"lora_bias": True}, "lora_bias is set"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices is set"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication is set"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_peft_does_more_is_refused(folder, tmp_path, changes, words):
    """As PEFT itself writes it: the file says it, and says it so that we find it."""
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], **changes)
    config.save_pretrained(tmp_path)
    network = open_build(folder / "build").network
    with pytest.raises(DamagedAdapter, match=words) as refused:
        read_adapter(tmp_path, network)
    assert str(tmp_path / "adapter_config.json") in str(refused.value)


def test_every_key_of_peft_is_known(tmp_path):
    """A plain adapter by the installed PEFT is read, whatever keys that version writes."""
    from hnlpu.run.engine._adapter_config import read_config

    peft.LoraConfig(r=4, target_modules=["q_proj"]).save_pretrained(tmp_path)
    config = read_config(tmp_path / "adapter_config.json")
    assert config.rank("model.layers.0.self_attn.q_proj") == 4
