"""Models of the catalog: parameters as their names say, and the shape of a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from catalog_files import changed, line_of

from hnlpu.errors import InvalidData, InvalidInput
from hnlpu.model.checkpoint import matrix_shapes, read_architecture
from hnlpu.system.catalog import load_model, model_names, shape_of_folder

NAMES = ("deepseek-v3", "gpt-oss-120b", "gpt-oss-20b", "kimi-k2", "llama-3.1-70b", "llama-3.1-8b",
         "qwen3-30b-a3b", "qwq-32b")  # fmt: skip


def test_these_come_with_hnlpu() -> None:
    assert model_names() == list(NAMES)
    assert [load_model(name).name for name in NAMES] == list(NAMES)


@pytest.mark.parametrize(
    ("name", "parameters", "active"),
    [
        # model cards and papers, billions; active ones count embeddings in some and not in others
        ("gpt-oss-120b", 116.8, 5.1),
        ("gpt-oss-20b", 20.9, 3.6),
        ("llama-3.1-8b", 8.03, 7.5),
        ("llama-3.1-70b", 70.6, 69.5),
        ("qwq-32b", 32.8, 32.0),
        ("qwen3-30b-a3b", 30.5, 3.0),
        ("deepseek-v3", 671.0, 37.0),
        ("kimi-k2", 1030.0, 32.0),
    ],
)
def test_parameters_are_those_of_the_model_card(
    name: str, parameters: float, active: float
) -> None:
    model = load_model(name)
    assert model.parameters / 1e9 == pytest.approx(parameters, rel=0.005)
    assert model.active_weights / 1e9 == pytest.approx(active, rel=0.02)


def test_the_paper_s_facts_about_gpt_oss_120b() -> None:
    model = load_model("gpt-oss-120b")
    assert model.kv_values_per_position() == 36_864
    assert {m.name: (m.inputs, m.outputs) for m in model.layer_matrices(0)}["q"] == (2880, 4096)
    assert [model.window(layer) for layer in range(4)] == [128, None, 128, None]
    assert model.kv_values_of_sequence(100) == 100 * 36_864
    assert model.kv_values_of_sequence(2048) == 18 * (128 + 2048) * 1024


def test_latent_attention_caches_its_latent() -> None:
    assert load_model("deepseek-v3").kv_values(5) == 576


def test_a_checkpoint_has_the_weights_of_its_shapes() -> None:
    folder = Path(__file__).parents[3] / "checkpoints" / "stdlib-8m"
    model = shape_of_folder(folder)
    by_role: dict[str, int] = {}
    for shape in matrix_shapes(read_architecture(folder)):
        by_role[shape.role] = by_role.get(shape.role, 0) + shape.weights
    assert model.weights() == by_role
    assert (model.name, model.layers, model.hidden, model.positions) == ("stdlib-8m", 4, 256, 1024)
    assert model.stored()[2][1] == 4.25


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(InvalidInput, match=r"'gpt-5' is unknown; there are deepseek-v3, .*or give"):
        load_model("gpt-5")


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ("count = 128", "count = 3", "active = 4", "experts.active: 4 of 3 experts"),
        ("kv_heads = 8", "kv_heads = 7", "kv_heads = 7", "attention.kv_heads: 7 does not divide"),
        ("window = 128\n", "", "pattern", "attention.pattern: has sliding layers but no window"),
        ("active = 4", "active = 129", "active = 129", "experts.active: Input should be less than"),
        ("layers = 36", "layers = -36", "layers = -36", "layers: Input should be greater"),
        ("layers = 36", "layers = 36\nlayer = 1", "layer = 1", "layer: unknown key"),
        (
            "layers = 36",
            "layers = 36.0",
            "layers = 36.0",
            "layers: Input should be a valid integer",
        ),
        ("active = 4", "active = 4\nfirst_layer = 40", "first_layer", "is beyond the 36 layers"),
        ("active = 4", "active = 4\nfirst_layer = 3", "layers = 36", "neither experts nor a dense"),
        ('unit = "bit/weight"', 'unit = "nm"', '"nm"', "formats.attention.bits: unit"),
        (
            "value = 16,",
            "value = 0,",
            "value = 0,",
            "formats.attention.bits: value 0 bit/weight is",
        ),
        ("router = {", "dense = {", "[formats]", "formats: lacks the format of router"),
    ],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, at: str, says: str
) -> None:
    path = changed(tmp_path, "models", "gpt-oss-120b", old, new)
    with pytest.raises(InvalidData) as raised:
        load_model(path)
    assert str(raised.value).startswith(f"{path}:{line_of(path, at)}: "), raised.value
    assert says in str(raised.value)


def test_the_model_of_the_documentation_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "cost.md").read_text("utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    model = load_model(str(path))
    attention = 2 * 2048 * 2048 + 2 * 2048 * 256
    layer = attention + 2048 * 64 + 64 * 3 * 2048 * 1024
    assert model.hardwired_weights == 24 * layer + 2048 * 64000
    assert [model.window(layer) for layer in (0, 1)] == [512, None]
