"""What is taken out of a checkpoint is gone, and nothing else is: against zeroed weights and transformers."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from helpers import write_checkpoint as write_gpt_oss
from hnlpu.arithmetic.mx import dequantize
from hnlpu.errors import InvalidConfig, InvalidInput, UnsupportedArchitecture
from hnlpu.model.checkpoint import StoredMatrix, read_model
from hnlpu.model.edit import Edit, LayerSelection, edited, keep_all, write_checkpoint
from hnlpu.model.families import DecoderConfig, find_family, network_of
from hnlpu.run.emulate import float_model
from readers import CONFIGS, sample, write_sample

SEED = 1


def _varying(name: str) -> bool:
    if name == "gpt_oss":
        return True
    config = CONFIGS[name](np.random.default_rng(SEED))
    family = find_family(config.get("model_type", name))
    return issubclass(family.config, DecoderConfig) and bool(family.config.varying)


FAMILIES = sorted(name for name in CONFIGS if _varying(name))
OTHERS = sorted(name for name in CONFIGS if not _varying(name))


@cache
def _made(name: str) -> tuple[Path, TemporaryDirectory[str]]:
    held = TemporaryDirectory()
    folder = Path(held.name)
    return write_sample(sample(name, SEED, folder / "theirs"), folder / "ours"), held


class _Opened:
    """A checkpoint with what edits of it need."""

    def __init__(self, checkpoint: Path):
        self.path = checkpoint
        self.values = json.loads((checkpoint / "config.json").read_text())
        self.family = find_family(self.values["model_type"])
        self.model = read_model(checkpoint, self.family)
        self.config = self.family.config.read(self.values)

    def write(self, edit: Edit, folder: Path, *, renumber: bool = False) -> Path:
        folder.mkdir()
        cutting = edited(self.family, self.values, edit, renumber=renumber)
        write_checkpoint(self.model, cutting, edit, folder)
        return folder

    def matrix(self, layer: int, ending: str) -> str:
        return next(
            m.name
            for m in self.model.network.matrices
            if m.block == layer and m.name.endswith(ending)
        )

    def zeroed(self, name: str, columns: list[int]) -> Edit:
        """Everything, but for some columns of a matrix, which are zero in every member."""

        def values(member: int) -> np.ndarray:
            dense = _dense(self.model.matrices[name], member).copy()
            dense[:, columns] = 0
            return dense

        return Edit(keep_all(self.config.num_hidden_layers), {name: values})


def _logits(checkpoint: Path) -> np.ndarray:
    model = float_model(checkpoint).transformer
    tokens = np.random.default_rng(0).integers(0, model.architecture.vocab_size, 12)
    return model.logits(model.forward(tokens, model.new_cache()))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_kept_is_kept_to_the_bit(name: str, tmp_path: Path) -> None:
    of = _Opened(_made(name)[0])
    layers = of.config.num_hidden_layers
    copy = of.write(Edit(keep_all(layers)), tmp_path / "copy")
    assert np.array_equal(_logits(copy), _logits(of.path))
    before, after = load_file(of.path / "model.safetensors"), load_file(copy / "model.safetensors")
    assert all(np.array_equal(before[tensor], after[tensor]) for tensor in after)


# of gpt-oss whole blocks go: test_mxfp4_stays_packed_where_blocks_are_whole
@pytest.mark.parametrize("name", [n for n in FAMILIES if n != "gpt_oss"])
def test_neurons_that_are_gone_are_as_zeros(name: str, tmp_path: Path) -> None:
    of = _Opened(_made(name)[0])
    banks = [m for m in of.model.network.matrices if m.block == 0 and m.role == "experts"]
    dense = [m for m in of.model.network.matrices if m.block == 0 and m.role == "feed_forward"]
    down = (banks or dense)[-1]
    size = down.columns if banks else of.config.at(0).intermediate_size
    if not banks:
        down = next(m for m in reversed(dense) if m.columns == size)
    kept = tuple(n for n in range(size) if n % 3)
    gone = sorted(set(range(size)) - set(kept))
    field = {"expert_inner": (kept,) * down.count} if banks else {"inner": kept}
    layers = list(keep_all(of.config.num_hidden_layers))
    layers[0] = replace(layers[0], **field)
    cut = of.write(Edit(tuple(layers)), tmp_path / "cut")
    zeroed = of.write(of.zeroed(down.name, gone), tmp_path / "zeroed")
    assert np.array_equal(_logits(cut), _logits(zeroed))
    assert not np.array_equal(_logits(cut), _logits(of.path))


@pytest.mark.parametrize("name", FAMILIES)
def test_heads_that_are_gone_are_as_zeros(name: str, tmp_path: Path) -> None:
    of = _Opened(_made(name)[0])
    own = of.config.at(0)
    heads, kv_heads, size = own.num_attention_heads, own.num_key_value_heads, own.head_dim
    group = heads // kv_heads
    assert heads > 1
    kept = tuple(h for h in range(heads) if h % group < max(1, group // 2))[: max(1, heads - 1)]
    if group == 1:
        kept = tuple(range(1, heads))
    columns = [h * size + i for h in range(heads) if h not in kept for i in range(size)]
    layers = list(keep_all(of.config.num_hidden_layers))
    layers[0] = replace(layers[0], heads=kept)
    cut = of.write(Edit(tuple(layers)), tmp_path / "cut")
    zeroed = of.write(of.zeroed(of.matrix(0, "o_proj"), columns), tmp_path / "zeroed")
    if name in ("olmo2", "olmo3"):  # one norm over all heads: what is gone is no part of it
        assert not np.array_equal(_logits(cut), _logits(zeroed))
    else:
        assert np.array_equal(_logits(cut), _logits(zeroed))


@pytest.mark.parametrize("name", FAMILIES)
def test_halves_that_are_gone_take_their_tensors_along(name: str, tmp_path: Path) -> None:
    of = _Opened(_made(name)[0])
    layers = list(keep_all(of.config.num_hidden_layers))
    layers[-1] = LayerSelection(attention=False)
    cut = of.write(Edit(tuple(layers)), tmp_path / "cut")
    network = read_model(cut).network
    last = len(layers) - 1
    assert not [m for m in network.matrices if m.block == last and m.role == "attention"]
    assert not [s for s in network.states if s.block == last]
    assert network == network_of(json.loads((cut / "config.json").read_text()))
    assert np.isfinite(_logits(cut)).all()


@pytest.mark.parametrize("name", [n for n in FAMILIES if n != "gpt_oss"])
def test_transformers_reads_what_is_alike_in_all_layers(name: str, tmp_path: Path) -> None:
    of = _Opened(_made(name)[0])
    varying, count = of.config.varying, of.config.num_hidden_layers
    kinds = {"sparse" if any(m.block == n and m.role == "experts" for m in of.model.network.matrices)
             else "dense" for n in range(count)}  # fmt: skip
    kept = LayerSelection()
    if "dense" in kinds:
        kept = replace(kept, inner=tuple(range(0, of.config.intermediate_size, 2)))
    if "sparse" in kinds:
        experts = int(getattr(of.config, varying["experts"]))
        chosen = of.config.num_experts_per_tok
        kept = replace(kept, experts=tuple(range(experts - max(chosen, experts - 1), experts)))
    dense = replace(kept, experts=None)
    sparse = replace(kept, inner=None)
    layers = tuple(
        sparse
        if any(m.block == n and m.role == "experts" for m in of.model.network.matrices)
        else dense
        for n in range(count)
    )
    cut = of.write(Edit(layers), tmp_path / "cut")
    assert "per_layer" not in json.loads((cut / "config.json").read_text())
    theirs = AutoModelForCausalLM.from_pretrained(
        cut, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    tokens = np.random.default_rng(0).integers(0, of.config.vocab_size, 12)
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens)[None], use_cache=False).logits[0].numpy()
    assert np.abs(_logits(cut) - expected).max() < 1e-3 * max(1.0, float(np.abs(expected).max()))


def test_a_layer_without_anything_leaves_and_the_others_take_its_number(tmp_path: Path) -> None:
    of = _Opened(_made("llama")[0])
    count = of.config.num_hidden_layers
    gone = (LayerSelection(attention=False, feed_forward=False), *keep_all(count - 1))
    empty = of.write(Edit(gone), tmp_path / "empty")
    fewer = of.write(Edit(gone), tmp_path / "fewer", renumber=True)
    config = json.loads((fewer / "config.json").read_text())
    assert config["num_hidden_layers"] == count - 1
    assert "per_layer" not in config
    assert np.array_equal(_logits(empty), _logits(fewer))


def test_lists_that_are_as_long_as_layers_by_chance_stay() -> None:
    values = json.loads(Path("checkpoints/llama-90k/config.json").read_text())
    values |= {"eos_token_id": [0, 1]}
    gone = (LayerSelection(attention=False, feed_forward=False), LayerSelection())
    config = edited(find_family("llama"), values, Edit(gone), renumber=True).config
    assert config["num_hidden_layers"] == 1
    assert config["eos_token_id"] == [0, 1]


def test_heads_alike_over_heads_of_keys_that_differ() -> None:
    values = json.loads(Path("checkpoints/llama-90k/config.json").read_text())
    values |= {"num_attention_heads": 20, "num_key_value_heads": 5}
    twelve = (
        LayerSelection(heads=tuple(range(12))),
        LayerSelection(heads=tuple(h for h in range(16) if h % 4)),
    )
    cutting = edited(find_family("llama"), values, Edit(twelve))  # 12 heads over 3, and over 4
    assert cutting.config["num_key_value_heads"] == 5
    assert [
        (own["num_attention_heads"], own["num_key_value_heads"])
        for own in cutting.config["per_layer"]
    ] == [(12, 3), (12, 4)]


def test_mxfp4_stays_packed_where_blocks_are_whole(tmp_path: Path) -> None:
    of = _Opened(write_gpt_oss(tmp_path / "source", intermediate=96))
    whole = tuple(range(32, 96))
    loose = tuple(range(1, 65))
    for name, kept, packed in (("whole", whole, True), ("loose", loose, False)):
        layers = (LayerSelection(expert_inner=(kept,) * 4, experts=None), LayerSelection())
        cut = of.write(Edit(layers), tmp_path / name)
        with safe_open(cut / "model.safetensors", "pt") as file:
            assert ("model.layers.0.mlp.experts.down_proj_blocks" in file.keys()) == packed  # noqa: SIM118
        old = read_model(of.path, of.family).matrices["model.layers.0.mlp.experts.down_proj"]
        new = read_model(cut).matrices["model.layers.0.mlp.experts.down_proj"]
        for member in range(4):
            expected = _dense(old, member)[:, list(kept)]
            assert np.array_equal(_dense(new, member)[:, : len(kept)], expected)
        gone = sorted(set(range(96)) - set(kept))
        name = "model.layers.0.mlp.experts.down_proj"
        zeroed = of.write(of.zeroed(name, gone), tmp_path / f"{name}-{packed}")
        assert np.array_equal(_logits(cut), _logits(zeroed))


def _dense(stored: StoredMatrix, member: int) -> np.ndarray:
    return dequantize(*stored.packed(member)) if stored.is_mxfp4 else stored.dense(member)


@pytest.mark.parametrize("name", OTHERS)
def test_families_of_one_size_are_refused(name: str) -> None:
    values = CONFIGS[name](np.random.default_rng(SEED))
    values.setdefault("model_type", name)
    family = find_family(values["model_type"])
    with pytest.raises(UnsupportedArchitecture, match="all of one size"):
        edited(family, values, Edit((LayerSelection(inner=(0,)),)))


@pytest.mark.parametrize("name", OTHERS)
def test_other_families_are_written_back_to_the_bit(name: str, tmp_path: Path) -> None:
    of = _Opened(_made(name)[0])
    if "quantization_config" in of.values:  # of BitNet
        with pytest.raises(UnsupportedArchitecture, match="how weights were quantised"):
            edited(of.family, of.values, Edit(()))
        return
    assert np.array_equal(_logits(of.write(Edit(()), tmp_path / "copy")), _logits(of.path))


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (LayerSelection(heads=()), "heads must be numbers from 0"),
        (LayerSelection(heads=(1, 0)), "rising"),
        (LayerSelection(heads=(0, 1, 2)), "as many query heads as the others"),
        (LayerSelection(inner=(0, 4096)), "inner must be numbers from 0"),
        (LayerSelection(experts=(0,)), "it has no experts"),
    ],
)
def test_a_selection_that_is_none_is_refused(selection: LayerSelection, said: str) -> None:
    values = json.loads(Path("checkpoints/llama-90k/config.json").read_text())
    with pytest.raises(InvalidInput, match=said):
        edited(find_family("llama"), values, Edit((selection, LayerSelection())))


@pytest.mark.parametrize(
    ("per_layer", "kind", "said"),
    [
        ([{}], InvalidConfig, "names 1 layers, num_hidden_layers is 2"),
        ([{}, {"num_attention_heads": 3}], InvalidConfig, "per_layer.1.*no.* multiple of"),
        ([{}, {"num_experts": 2}], UnsupportedArchitecture, "may not differ by layer"),
        ([{}, {"colour": 2}], UnsupportedArchitecture, "per_layer.1.colour"),
        ([{}, {"intermediate_size": 0}], InvalidConfig, "per_layer.1.intermediate_size"),
        ("all", InvalidConfig, "per_layer"),
    ],
)
def test_wrong_layers_of_a_config_are_refused(per_layer: object, kind: type, said: str) -> None:
    values = json.loads(Path("checkpoints/llama-90k/config.json").read_text())
    with pytest.raises(kind, match=said):
        network_of(values | {"per_layer": per_layer})
