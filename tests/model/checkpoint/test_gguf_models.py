"""Models in GGUF: the model that was converted, from header to verified build, or a clear refusal."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import hnlpu
from gguf_bytes import TYPES
from gguf_samples import CONFIGS, GgufSample, make
from helpers import run_cli
from hnlpu.errors import DamagedCheckpoint, HnlpuError, InvalidConfig, UnsupportedArchitecture
from hnlpu.model.checkpoint import Model, read_model
from hnlpu.model.checkpoint.gguf._blocks import BLOCKS
from hnlpu.model.checkpoint.gguf._config import config_of
from hnlpu.model.checkpoint.gguf._file import Gguf, GgufTensor
from hnlpu.model.families import families
from hnlpu.run.emulate import open_language_model

ARCHITECTURES = [name for name, c in CONFIGS.items() if c["model_type"] in families()]
K_QUANTS = ["Q4_K", "Q6_K", "Q5_K", "Q3_K", "Q2_K"]


def expect_equal(found: Model, sample: GgufSample) -> None:
    """Every constant is the float32 number of the gguf package, read whole and a few rows at a time."""
    plain = read_model(sample.folder)
    assert found.matrices.keys() == plain.matrices.keys()
    for name, matrix in plain.matrices.items():
        of = found.matrices[name]
        for index in range(matrix.shape.count):
            if of.is_mxfp4:
                from hnlpu.arithmetic.mx import dequantize

                values = dequantize(*of.packed(index))
                part = dequantize(*of.packed(index, slice(5, 12)))
            else:
                values, part = of.dense(index), of.dense(index, slice(5, 12))
            np.testing.assert_array_equal(values, matrix.dense(index))
            np.testing.assert_array_equal(part, values[5:12])
        if matrix.bias() is not None:
            np.testing.assert_array_equal(of.bias(), matrix.bias())
    for name in plain.vectors:
        np.testing.assert_array_equal(found.vector(name), plain.vector(name))
        np.testing.assert_array_equal(found.vector(name, slice(2, 5)), plain.vector(name)[2:5])


def logprobs_of_transformers(folder: Path, tokens: list[int]) -> np.ndarray:
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].double().log_softmax(-1).numpy()
    return logits[np.arange(len(tokens) - 1), tokens[1:]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("seed", range(1))
def test_a_file_holds_the_model_that_was_converted(
    architecture: str, seed: int, tmp_path: Path
) -> None:
    kinds = list(np.random.default_rng(seed + 7).permutation(TYPES))
    sample = make(architecture, tmp_path / "m", seed, kinds)
    expect_equal(read_model(sample.file), sample)
    tokens = np.random.default_rng(seed).integers(0, 96, 12).tolist()
    ours = open_language_model(sample.file).score(tokens).logprobs
    theirs = logprobs_of_transformers(sample.folder, tokens)
    assert theirs.std() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_a_build_of_a_file_is_that_of_the_folder(tmp_path: Path) -> None:
    sample = make("llama", tmp_path / "m", 3, K_QUANTS)
    one = hnlpu.build(sample.file, tmp_path / "one")
    two = hnlpu.build(sample.folder, tmp_path / "two")
    for path in sorted((two / "weights").iterdir()):
        assert (one / "weights" / path.name).read_bytes() == path.read_bytes()
    assert hnlpu.verify(one, sample.file).passed
    assert hnlpu.verify(one).passed  # by the build's log
    manifest = json.loads((one / "manifest.json").read_text())
    assert {"config.json", "model.gguf"} <= manifest["source"]["files"].keys()
    with sample.file.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    assert not hnlpu.verify(one, sample.file).passed


def test_native_mxfp4_stays_what_it_is(tmp_path: Path) -> None:
    sample = make("gpt-oss", tmp_path / "m", 5, ["MXFP4"])
    model = read_model(sample.file)
    assert all(m.is_mxfp4 for m in model.matrices.values() if m.shape.role == "experts")
    build = hnlpu.build(sample.file, tmp_path / "b")
    manifest = json.loads((build / "manifest.json").read_text())
    records = {name: r for name, r in manifest["matrices"].items() if r["role"] == "experts"}
    assert {r["format"] for r in records.values()} == {"native"}
    assert hnlpu.verify(build, sample.file).passed


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
        {
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        },
        {
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)  # fmt: skip
def test_positions_turn_as_they_did(rope: dict[str, Any], tmp_path: Path) -> None:
    sample = make("llama", tmp_path / "m", 4, ["F16"], rope_parameters=rope)
    assert read_model(sample.file).network == read_model(sample.folder).network


def test_splits_and_folders(tmp_path: Path) -> None:
    sample = make("qwen3", tmp_path / "m", 6, ["Q8_0", "Q4_K"])
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(sample.file, alone / "a.gguf")
    expect_equal(read_model(alone), sample)
    shutil.copy(sample.file, alone / "b.gguf")
    with pytest.raises(HnlpuError, match=r"holds 2 models in GGUF format; give one of them"):
        read_model(alone)
    parts = tmp_path / "parts"
    parts.mkdir()
    _split(sample.file, parts)
    expect_equal(read_model(parts), sample)
    expect_equal(read_model(parts / "x-00002-of-00002.gguf"), sample)
    (parts / "x-00002-of-00002.gguf").unlink()
    with pytest.raises(DamagedCheckpoint, match=r"the part x-00002-of-00002\.gguf"):
        read_model(parts / "x-00001-of-00002.gguf")


def _split(file: Path, folder: Path) -> None:
    """The tensors of a file in two, by the gguf package."""
    reader = gguf.GGUFReader(file)
    for number in range(2):
        writer = gguf.GGUFWriter(folder / f"x-{number + 1:05d}-of-00002.gguf", "qwen3")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        for key, field in reader.fields.items():
            if number == 0 and not key.startswith(("GGUF.", "general.architecture")):
                kind = field.types[0]
                writer.add_key_value(key, field.contents(), kind)
        for tensor in reader.tensors[number::2]:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def test_what_is_not_understood_is_refused_by_name(tmp_path: Path) -> None:
    def written(name: str, architecture: str, change: Any) -> Path:
        path = tmp_path / f"{name}.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        change(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    with pytest.raises(UnsupportedArchitecture, match=r"general\.architecture is 'falcon'"):
        read_model(written("a", "falcon", lambda w: None))

    def scaled(writer: gguf.GGUFWriter) -> None:
        for key, value in (
            ("attention.head_count", 8), ("embedding_length", 256), ("block_count", 1),
            ("context_length", 64),
        ):  # fmt: skip
            writer.add_uint32(f"llama.{key}", value)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tensor("token_embd.weight", np.zeros((8, 256), np.float32))

    with pytest.raises(UnsupportedArchitecture, match=r"llama\.attention\.scale = 0\.5 is no key"):
        read_model(written("b", "llama", lambda w: (scaled(w), w.add_attention_scale(0.5))))
    raw, kind = np.zeros((8, 66), np.uint8), gguf.GGMLQuantizationType.IQ2_XXS
    odd = written(
        "c", "llama", lambda w: (scaled(w), w.add_tensor("extra.weight", raw, raw_dtype=kind))
    )
    with pytest.raises(UnsupportedArchitecture, match=r"extra\.weight is IQ2_XXS"):
        read_model(odd)
    code, _, line = run_cli("build", tmp_path / "a.gguf", "-o", tmp_path / "out")
    assert code == 2
    assert line.count("\n") == 1
    assert "falcon" in line


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("embedding_length", "256", "'256', no whole number"),
        ("embedding_length", 256.0, "no whole number"),
        ("block_count", 0, "block_count is '0', no whole number"),
        ("attention.key_length", [32, 32], "key_length is '.32, 32.', no whole number"),
        ("feed_forward_length", True, "feed_forward_length is 'True'"),
        ("attention.sliding_window", "long", "sliding_window is 'long'"),
        ("expert_count", 2.5, "expert_count is '2.5'"),
        ("expert_used_count", 2, "expert_used_count is 2; read is 0"),
        ("attention.layer_norm_rms_epsilon", "1e-5", "is '1e-5', no number"),
        ("attention.head_count", [8, 8], "one number for all layers"),
    ],
)
def test_keys_of_another_type_are_refused_by_name(key: str, value: Any, words: str) -> None:
    """As they would stand in a file; no type of GGUF's is another's."""
    sizes = {
        "attention.head_count": 8, "embedding_length": 256, "block_count": 1, "context_length": 64,
        "feed_forward_length": 64, "attention.layer_norm_rms_epsilon": 1e-5, key: value,
    }  # fmt: skip
    metadata = {"general.architecture": "llama"} | {f"llama.{k}": v for k, v in sizes.items()}
    table = GgufTensor("token_embd.weight", BLOCKS[0], (8, 256), Path("m.gguf"), 0)
    with pytest.raises((InvalidConfig, UnsupportedArchitecture), match=words):
        config_of(Gguf(Path("m.gguf"), metadata, {"token_embd.weight": table}, ()))


def test_damaged_files(tmp_path: Path) -> None:
    sample = make("llama", tmp_path / "m", 8, ["Q4_0"])
    raw = sample.file.read_bytes()
    damaged = tmp_path / "d.gguf"
    random = np.random.default_rng(0)
    for size in (0, 3, 4, 8, 24, 100, 1000, len(raw) // 2, len(raw) - 1):
        damaged.write_bytes(raw[:size])
        with pytest.raises(HnlpuError):
            read_model(damaged)
    for _ in range(150):  # any byte of the header may be any other: a model or one error
        at = int(random.integers(0, 3000))
        damaged.write_bytes(raw[:at] + bytes([int(random.integers(256))]) + raw[at + 1 :])
        with contextlib.suppress(HnlpuError):
            read_model(damaged)
