"""What a checkpoint may not be: each refused with exit code 2, one line, and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import (
    INDEX,
    SINGLE,
    Tensors,
    bfloat16,
    encode_header,
    make_config,
    random_tensors,
    run_cli,
    snapshot,
    write_checkpoint,
    write_tensors,
)

L0 = "model.layers.0."
Q = L0 + "self_attn.q_proj.weight"
UP = L0 + "mlp.experts.gate_up_proj"


YARN = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096}


@pytest.fixture
def refused(tmp_path: Path, cli: Any) -> Callable[..., str]:
    """Build `checkpoint` into a folder with two missing parents; returns the one line of refusal."""

    def check(checkpoint: str | Path, *options: str) -> str:
        before = snapshot(tmp_path)
        code, printed, line = cli("build", checkpoint, "-o", tmp_path / "new/er/build", *options)
        assert code == 2
        assert printed == ""
        assert line.startswith("hnlpu: ")
        assert line.count("\n") == 1
        assert line.endswith("\n")
        assert snapshot(tmp_path) == before
        return line

    return check


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))


def edit_header(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    edit(header)
    path.write_bytes(encode_header(header) + raw[8 + length :])


def test_a_folder_that_is_not_there(refused, tmp_path):
    assert str(tmp_path / "nowhere") in refused(tmp_path / "nowhere")


def test_a_file_instead_of_a_folder(refused, tmp_path):
    (tmp_path / "model.bin").write_bytes(b"weights")
    assert "not a folder" in refused(tmp_path / "model.bin")


def test_a_folder_without_config(refused, tmp_path):
    write_checkpoint(tmp_path / "c")
    (tmp_path / "c/config.json").unlink()
    assert "no config.json" in refused(tmp_path / "c")


@pytest.mark.parametrize("kind", ["bert", None, 5, ["gpt_oss"]])
def test_another_architecture(refused, tmp_path, kind):
    write_checkpoint(tmp_path / "c", model_type=kind)
    line = refused(tmp_path / "c")
    assert str(tmp_path / "c/config.json") in line
    assert "; supported: " in line
    assert " gpt_oss, " in line


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "nonsense", '{"a": 1e}', "[" * 100_000, "\ufeff{}", "NaN"]
)
def test_a_config_that_is_not_a_json_object(refused, tmp_path, text):
    write_checkpoint(tmp_path / "c")
    (tmp_path / "c/config.json").write_text(text)
    assert str(tmp_path / "c/config.json") in refused(tmp_path / "c")


def test_a_config_of_absurd_size(tmp_path, cli):
    write_checkpoint(tmp_path / "c")
    with (tmp_path / "c/config.json").open("r+b") as stream:
        stream.truncate(2**34)  # sparse: takes no disk, and would not fit in memory
    code, _, line = cli("build", tmp_path / "c", "-o", tmp_path / "b")
    assert code == 2
    assert "config.json: 17179869184 bytes" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hidden_size": 80}, "hidden_size 80 is not divisible by 32"),
        ({"intermediate_size": 100}, "intermediate_size 100 is not divisible by 32"),
        ({"head_dim": 33}, "head_dim: Input should be a multiple of 2"),
        ({"num_attention_heads": 32, "head_dim": 1}, "head_dim"),
        ({"num_key_value_heads": 3}, "not a multiple of num_key_value_heads 3"),
        ({"experts_per_token": 5}, "exceeds num_local_experts 4"),
        ({"layer_types": ["full_attention"]}, "layer_types names 1 layers"),
        ({"layer_types": ["full_attention", "chunked"]}, "layer_types"),
        ({"hidden_size": -64}, "hidden_size"),
        ({"hidden_size": "absent"}, "hidden_size"),
        ({"vocab_size": 10**30}, "vocab_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"swiglu_limit": float("inf")}, "swiglu_limit"),
        ({"rope_theta": 0}, "rope"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope.rope_type"),
        ({"rope_scaling": [1]}, "rope parameters are a list"),
        ({"rope_scaling": {"rope_type": "yarn", "mscale": 1.0}}, "mscale"),
        ({"rope_scaling": {"rope_type": "yarn", "partial_rotary_factor": 0.5}}, "partial rotary"),
        ({"rope_scaling": YARN | {"beta_fast": 1e-320}}, "rope.beta_fast"),
        ({"rope_scaling": YARN | {"factor": None}}, "lack factor"),
        (
            {"rope_scaling": YARN | {"original_max_position_embeddings": None}},
            "lack original_max_position_embeddings",
        ),
        ({"hidden_act": "gelu"}, "supported: silu"),
    ],
)
def test_config_values_that_make_no_sense(refused, tmp_path, changes, expected):
    write_checkpoint(tmp_path / "c")
    edit_config(tmp_path / "c", **changes)
    line = refused(tmp_path / "c")
    assert str(tmp_path / "c/config.json") in line
    assert expected in line


MISSING = [
    "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight", Q,
    L0 + "self_attn.q_proj.bias", L0 + "self_attn.sinks", L0 + "input_layernorm.weight",
    L0 + "mlp.router.weight", L0 + "mlp.router.bias", UP + "_blocks", UP + "_scales", UP + "_bias",
]  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_tensor(refused, tmp_path, name):
    folder = write_checkpoint(tmp_path / "c")
    tensors = random_tensors(make_config())
    del tensors[name]
    write_tensors(folder, tensors)
    line = refused(folder)
    assert f"tensor {name} is missing" in line
    assert str(folder) in line


@pytest.mark.parametrize("name", ["model.layers.2.self_attn.sinks", "extra", UP])
def test_an_unexpected_tensor(refused, tmp_path, name):
    folder = write_checkpoint(tmp_path / "c", tensors={name: bfloat16(np.zeros(4))})
    line = refused(folder)
    assert f"unexpected tensor {name}" in line
    assert str(folder / SINGLE) in line


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        (Q, bfloat16(np.zeros((64, 128))), "has shape [64, 128], config.json implies [128, 64]"),
        (Q, bfloat16(np.zeros((128, 64, 1))), "has shape [128, 64, 1]"),
        (Q, np.zeros((128, 64), np.float64), "is F64, expected BF16 or F16 or F32"),
        ("model.norm.weight", bfloat16(np.zeros(32)), "has shape [32]"),
        (UP + "_bias", np.full((4, 192), 1, np.int64), "is I64, expected BF16 or F16 or F32"),
        # a dequantised model saved again under the packed names: nonsense that loads elsewhere
        (UP + "_blocks", bfloat16(np.zeros((4, 64, 192))), "is BF16, expected U8"),
        (UP + "_blocks", np.zeros((4, 192, 2, 16), np.int8), "is I8, expected U8"),
        (UP + "_scales", np.zeros((4, 192, 2), np.int8), "is I8, expected U8"),
        (UP + "_blocks", np.zeros((4, 192, 32), np.uint8), "has shape [4, 192, 32]"),
    ],
)  # fmt: skip
def test_a_tensor_of_wrong_shape_or_dtype(refused, tmp_path, name, array, expected):
    folder = write_checkpoint(tmp_path / "c", tensors={name: array})
    line = refused(folder)
    assert f"{folder / SINGLE}: {name}" in line
    assert expected in line


NOT_FINITE = [0x7F80, 0xFF80, 0x7FC0, 0xFFFF, 0x7F81]


@pytest.mark.parametrize("bits", NOT_FINITE)
@pytest.mark.parametrize(
    "name",
    ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight", Q,
     L0 + "self_attn.q_proj.bias", L0 + "self_attn.sinks", L0 + "mlp.router.weight",
     L0 + "mlp.router.bias", UP + "_bias"],
)  # fmt: skip
def test_nan_or_infinity(refused, tmp_path, name, bits):
    tensors: Tensors = random_tensors(make_config())
    tensors[name].reshape(-1)[-1] = bits
    folder = write_checkpoint(tmp_path / "c", tensors={name: tensors[name]})
    line = refused(folder)
    assert f"{folder / SINGLE}: {name} holds NaN or infinity" in line


def test_nan_in_bf16_experts(refused, tmp_path):
    tensors = random_tensors(make_config(), packed=False)
    tensors[UP][3, 63, 191] = 0x7FC0
    folder = write_checkpoint(tmp_path / "c", packed=False, tensors=tensors)
    assert f"{folder / SINGLE}: {UP} holds NaN" in refused(folder)


@pytest.mark.parametrize("place", [(0, 0, 0), (3, 191, 1)])
def test_scale_255(refused, tmp_path, place):
    scales = random_tensors(make_config())[UP + "_scales"]
    scales[place] = 255
    folder = write_checkpoint(tmp_path / "c", tensors={UP + "_scales": scales})
    line = refused(folder)
    assert f"{folder / SINGLE}: {UP}_scales holds the scale 255" in line
    expert, row, block = place
    assert f"expert {expert}, row {row}, block {block}" in line


def test_a_row_whose_exponents_spread_too_far(refused, tmp_path):
    tensors = random_tensors(make_config())
    tensors[UP + "_scales"][2, 5] = (100, 121)
    tensors[UP + "_blocks"][2, 5] = 0x22
    folder = write_checkpoint(tmp_path / "c", tensors=tensors)
    line = refused(folder)
    assert f"{UP}: expert 2, row 5 has block exponents that span 21" in line
    assert "--requantize" in line


def test_truncated_safetensors(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    whole = (folder / SINGLE).read_bytes()
    for size in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        (folder / SINGLE).write_bytes(whole[:size])
        assert str(folder / SINGLE) in refused(folder)


def test_bytes_after_the_last_tensor(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    with (folder / SINGLE).open("ab") as stream:
        stream.write(b"\0")
    assert str(folder / SINGLE) in refused(folder)


@pytest.mark.parametrize("length", [0, 1, 10**8 + 1, 2**31, 2**40, 2**63, 2**64 - 1])
def test_absurd_header_sizes(refused, tmp_path, length):
    folder = write_checkpoint(tmp_path / "c")
    raw = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(length.to_bytes(8, "little") + raw[8:])
    assert str(folder / SINGLE) in refused(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda h: h[Q].update(dtype="NONSENSE"),
        lambda h: h[Q].update(data_offsets=[0, 2**63]),
        lambda h: h[Q].update(data_offsets=[5, 1]),
        lambda h: h[Q].update(data_offsets=h["lm_head.weight"]["data_offsets"]),
        lambda h: h[Q].update(shape=[2**32, 2**32]),
        lambda h: h[Q].update(shape=[-1]),
        lambda h: h[Q].pop("shape"),
        lambda h: h.update({Q: 5}),
        lambda h: h.update(__metadata__=5),
    ],
)
def test_a_corrupt_header(refused, tmp_path, edit):
    folder = write_checkpoint(tmp_path / "c")
    edit_header(folder / SINGLE, edit)
    assert str(folder / SINGLE) in refused(folder)


def test_a_name_that_appears_twice_in_a_header(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    raw = (folder / SINGLE).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + length].rstrip()
    again = json.dumps({Q: json.loads(header)[Q]})[1:].encode()
    header = header[:-1] + b"," + again
    (folder / SINGLE).write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])
    line = refused(folder)
    assert str(folder / SINGLE) in line
    assert Q in line
    assert "twice" in line


def test_neither_weights_nor_index(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c")
    (folder / SINGLE).unlink()
    line = refused(folder)
    assert str(folder) in line
    assert SINGLE in line


def edit_index(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    index = json.loads((folder / INDEX).read_text())
    edit(index["weight_map"])
    (folder / INDEX).write_text(json.dumps(index))


def test_an_index_that_points_to_a_missing_shard(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c", shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    line = refused(folder)
    assert str(folder / INDEX) in line
    assert "model-00002-of-00003.safetensors, which is missing" in line


@pytest.mark.parametrize("file", ["", "../c/x", "/etc/passwd", "..", ".", 5, None, "x" * 300])
def test_an_index_that_places_a_tensor_nowhere_sensible(refused, tmp_path, file):
    folder = write_checkpoint(tmp_path / "c", shards=2)
    edit_index(folder, lambda where: where.update({Q: file}))
    assert str(folder) in refused(folder)


def test_an_index_that_places_a_tensor_in_the_wrong_shard(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c", shards=2)

    def swap(where: dict[str, str]) -> None:
        where[Q] = next(file for file in sorted(set(where.values())) if file != where[Q])

    edit_index(folder, swap)
    line = refused(folder)
    assert Q in line
    assert "model-0000" in line


def test_an_index_that_promises_a_tensor_no_shard_has(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c", shards=2)
    edit_index(folder, lambda where: where.update(extra=where[Q]))
    line = refused(folder)
    assert "lacks extra" in line
    assert "model-0000" in line


def test_an_index_that_omits_a_tensor_of_a_shard(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c", shards=2)
    edit_index(folder, lambda where: where.pop(Q))
    assert f"holds {Q}" in refused(folder)


def test_two_shards_with_the_same_tensor(refused, tmp_path):
    folder = write_checkpoint(tmp_path / "c", shards=2)
    first, second = sorted(folder.glob("*.safetensors"))
    second.write_bytes(first.read_bytes())
    assert str(second) in refused(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "[" * 9999]
)
def test_an_index_that_is_none(refused, tmp_path, text):
    folder = write_checkpoint(tmp_path / "c", shards=2)
    (folder / INDEX).write_text(text)
    assert str(folder / INDEX) in refused(folder)


@pytest.mark.parametrize("what", ["no config", "corrupt", "nan"])
def test_a_refusal_in_a_process_of_its_own_prints_one_line(tmp_path, what):
    folder = write_checkpoint(tmp_path / "c")
    if what == "no config":
        (folder / "config.json").unlink()
    elif what == "corrupt":
        (folder / SINGLE).write_bytes(b"not a checkpoint")
    else:
        write_tensors(
            folder, random_tensors(make_config()) | {Q: bfloat16(np.full((128, 64), np.nan))}
        )
    before = snapshot(tmp_path)
    code, printed, line = run_cli("build", folder, "-o", tmp_path / "a/b")
    assert (code, printed) == (2, "")
    assert line.startswith(f"hnlpu: {folder}")
    assert line.count("\n") == 1
    assert snapshot(tmp_path) == before
