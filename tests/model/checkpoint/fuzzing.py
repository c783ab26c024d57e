"""Random corruptions of small checkpoints, each built: `python fuzzing.py FOLDER SEED COUNT`.

Run as a program of its own, so that its memory can be bounded and measured.
Prints one JSON document: how the cases ended, and every one that ended badly.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hnlpu
from helpers import INDEX, SINGLE, encode_header, write_checkpoint
from hnlpu.silicon.hardwire import open_build

SECONDS_PER_CASE = 20
SMALL = {
    "hidden": 64, "intermediate": 32, "layers": 1, "heads": 2, "kv_heads": 1, "head_dim": 16,
    "experts": 2, "active": 1, "vocab": 33,
}  # fmt: skip
BASES: dict[str, dict[str, Any]] = {
    "one file": {},
    "shards": {"shards": 2, "new_config": True},
    "bf16": {"packed": False, "new_config": True},
    "tied": {"tie_word_embeddings": True, "attention_bias": False},
}
NASTY: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 31, 33, 64, 96, 2**24, 2**31, 2**63, 10**30, 10**400,
    0.0, 0.5, -0.5, 1e-320, 1e308, float("nan"), float("inf"), -float("inf"), 32.0, 1.5,
    "", "32", "yarn", "default", "linear", "full_attention", "gpt_oss", "llama", "\ud800", "x" * 5000,
    "../../etc/passwd", "\0", "a\nb", [], [1], [[]], ["full_attention"], ["sliding_attention"] * 2,
    {}, {"a": {"b": []}}, {"rope_type": "yarn"}, {"rope_theta": -1}, [None], [10**30],
]  # fmt: skip
BFLOAT16 = [0x7F80, 0xFF80, 0x7FC0, 0xFFFF, 0x7F7F, 0xFF7F, 0x0001, 0x8000, 0x0080, 0x7F00]
SCALES = [255, 254, 253, 0, 1, 127, 150]
DTYPES = ["BF16", "U8", "I8", "F16", "F32", "F64", "I64", "BOOL", "F8_E4M3", "F4", "U16", "", 7]

Mutation = Callable[[Path, random.Random], str]


def weight_file(folder: Path, rng: random.Random) -> Path:
    return rng.choice(sorted(folder.glob("*.safetensors")))


def split_header(path: Path) -> tuple[dict[str, Any], bytes]:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def damage_bytes(folder: Path, rng: random.Random) -> str:
    path = rng.choice(sorted(folder.iterdir()))
    raw = bytearray(path.read_bytes())
    # half of the blows fall on the header, which is a tenth of the file
    end = 8 + int.from_bytes(raw[:8], "little") if path.suffix == ".safetensors" else len(raw)
    at = rng.randrange(end if rng.random() < 0.5 else len(raw))
    size = rng.choice([1, 1, 2, 8, 64, 1000])
    how = rng.choice(["flip", "flip", "set", "cut", "insert", "remove", "swap", "zero", "repeat"])
    if how == "flip":
        for _ in range(rng.choice([1, 1, 1, 5])):
            raw[at] ^= 1 << rng.randrange(8)
            at = rng.randrange(len(raw))
    elif how == "set":
        raw[at] = rng.choice([0, 9, 34, 44, 48, 57, 91, 93, 123, 125, 127, 255])
    elif how == "cut":
        del raw[at:]
    elif how == "insert":
        raw[at:at] = rng.randbytes(size)
    elif how == "remove":
        del raw[at : at + size]
    elif how == "swap":
        to = rng.randrange(len(raw))
        raw[at : at + size], raw[to : to + size] = raw[to : to + size], raw[at : at + size]
    elif how == "zero":
        raw[at : at + size] = bytes(len(raw[at : at + size]))
    else:
        raw[at:at] = raw[at : at + size]
    path.write_bytes(raw)
    return f"{how} {size} at {at} of {path.name}"


def alter_config(folder: Path, rng: random.Random) -> str:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    where = config
    ropes = [key for key in ("rope_scaling", "rope_parameters") if key in config]
    if ropes and rng.random() < 0.3:
        where = config[ropes[0]]
    key = rng.choice([*sorted(where), "swiglu_alpha", "mscale", "attention_factor", "type", "rope"])
    value = rng.choice(NASTY)
    if rng.random() < 0.15:
        where.pop(key, None)
        value = "absent"
    elif isinstance(where.get(key), int) and rng.random() < 0.4:
        value = where[key] = where[key] + rng.choice([-32, -16, -2, -1, 1, 2, 16, 32])
    else:
        where[key] = value
    text = json.dumps(config)
    if rng.random() < 0.05:
        text = text[:-1] + f', "{key}": {json.dumps(value)}}}'
    path.write_text(text)
    return f"config {key} = {str(value)[:60]!r}"


def alter_header(folder: Path, rng: random.Random) -> str:
    path = weight_file(folder, rng)
    header, data = split_header(path)
    name = rng.choice([n for n in header if n != "__metadata__"])
    info = header[name]
    how = rng.choice(
        ["dtype", "shape", "offsets", "name", "remove", "add", "metadata", "twice", "length",
         "field", "swap"]
    )  # fmt: skip
    if how == "dtype":
        info["dtype"] = rng.choice(DTYPES)
    elif how == "shape":
        shape = info["shape"]
        info["shape"] = rng.choice(
            [[], shape[::-1], [*shape, 1], [1, *shape], shape[:-1], [-1], [0], [2**63], [2**70],
             [2**32, 2**32], "32", None, [1.5], [int(np.prod(shape))], [[]]]
        )  # fmt: skip
    elif how == "offsets":
        begin, end = info["data_offsets"]
        info["data_offsets"] = rng.choice(
            [[end, begin], [begin, end + 1], [begin, end - 1], [begin + 1, end + 1], [0, 0], [-1, 5],
             [begin, 2**64], [2**63, 2**63 + end - begin], [begin], [begin, end, end], None]
        )  # fmt: skip
    elif how == "name":
        new = rng.choice([name + "x", "", name.upper(), "../" + name, "a\nb", "\x1b[31m", "__m__"])
        header = {new if n == name else n: i for n, i in header.items()}
    elif how == "remove":
        del header[name]
    elif how == "add":
        size = len(data)
        header["extra"] = {"dtype": "U8", "shape": [4], "data_offsets": [size, size + 4]}
        data += bytes(4)
    elif how == "metadata":
        header["__metadata__"] = rng.choice([None, [], {"a": 1}, {"a": "b"}, "x", {"a": {}}])
    elif how == "field":
        rng.choice([lambda: info.pop("dtype"), lambda: info.update(more=1), info.clear])()
    elif how == "swap":
        other = rng.choice([n for n in header if n != "__metadata__"])
        header[name], header[other] = header[other], header[name]
    raw = encode_header(header) + data
    if how == "twice":
        text = json.dumps(header)[:-1] + f", {json.dumps(name)}: {json.dumps(info)}}}"
        raw = len(text).to_bytes(8, "little") + text.encode() + data
    elif how == "length":
        length = rng.choice([0, 1, 7, 2**20, 10**8, 10**8 + 1, 2**31, 2**40, 2**63, 2**64 - 1])
        raw = length.to_bytes(8, "little") + raw[8:]
    path.write_bytes(raw)
    return f"header {how} of {name}: {str(header.get(name))[:90]}"


def alter_index(folder: Path, rng: random.Random) -> str:
    path = folder / INDEX
    if not path.exists():
        value = rng.choice([{}, {"weight_map": {}}, {"weight_map": {"a": SINGLE}}, [], 5])
        path.write_text(json.dumps(value))
        return f"index = {value}"
    index = json.loads(path.read_text())
    where = index["weight_map"]
    name = rng.choice(sorted(where))
    files = sorted(set(where.values()))
    value = rng.choice([*NASTY, *files, *files, "absent", ".", "..", "x" * 300, "\ud800", "/"])
    if value == "absent":
        del where[name]
    elif rng.random() < 0.15:
        index["weight_map"] = value
    elif rng.random() < 0.15:
        where["extra"] = value
    else:
        where[name] = value
    path.write_text(json.dumps(index))
    return f"index {name} = {str(value)[:60]!r}"


def alter_values(folder: Path, rng: random.Random) -> str:
    path = weight_file(folder, rng)
    header, data = split_header(path)
    raw = bytearray(data)
    names = [n for n in header if n != "__metadata__"]
    scales = [n for n in names if n.endswith("_scales")]
    name = rng.choice(scales if scales and rng.random() < 0.3 else names)
    info = header[name]
    begin, end = info["data_offsets"]
    count = rng.choice([1, 1, 3, 40])
    for _ in range(count):
        if info["dtype"] == "BF16":
            at = begin + 2 * rng.randrange((end - begin) // 2)
            raw[at : at + 2] = rng.choice(BFLOAT16).to_bytes(2, "little")
        else:
            raw[rng.randrange(begin, end)] = rng.choice(SCALES)
    path.write_bytes(encode_header(header) + raw)
    return f"{count} values of {name}"


def alter_files(folder: Path, rng: random.Random) -> str:
    path = rng.choice(sorted(folder.iterdir()))
    how = rng.choice(["missing", "empty", "folder", "other", "dangling"])
    content = rng.choice(sorted(folder.iterdir())).read_bytes()
    path.unlink()
    if how == "empty":
        path.touch()
    elif how == "folder":
        path.mkdir()
    elif how == "other":
        path.write_bytes(content)
    elif how == "dangling":
        path.symlink_to("nowhere")
    return f"{path.name} {how}"


MUTATIONS: list[tuple[Mutation, int]] = [
    (damage_bytes, 7), (alter_config, 5), (alter_header, 5), (alter_values, 4), (alter_index, 2),
    (alter_files, 1),
]  # fmt: skip
POLICIES = [
    hnlpu.make_policy(),
    hnlpu.make_policy("paper"),
    hnlpu.make_policy(requantize=True, max_spread=3),
    hnlpu.make_policy(max_spread=4),
]


class Hang(BaseException):
    """A case ran past its time."""


def _hang(*_: object) -> None:
    raise Hang


def attempt(folder: Path, out: Path, policy: hnlpu.Policy) -> str:
    """Build `folder`; "built" or the name of the refusal.  AssertionError where neither is clean."""
    try:
        hnlpu.build(folder, out, policy, workers=1)
    except hnlpu.HnlpuError as error:
        message = str(error)
        assert "\n" not in message
        assert message
        named = (str(folder), "model.layers.", "lm_head")
        assert any(part in message for part in named), f"names nothing: {message}"
        left = sorted(path.name for path in out.parent.iterdir() if path != folder)
        assert not left, f"left behind: {left}"
        return type(error).__name__
    open_build(out)
    result = hnlpu.verify(out, workers=1, samples=1)
    assert result.passed, result.problems
    try:
        score = hnlpu.open(out).score([1, 2, 3])
        assert all(np.isfinite(score.logprobs))
    except hnlpu.HnlpuError:
        return "built, but its values leave float32"
    return "built"


def main(folder: Path, seed: int, count: int) -> None:
    """Run `count` cases and print how they ended."""
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _hang)
    for name, changes in BASES.items():
        write_checkpoint(folder / name, seed=seed, **(SMALL | changes))
        work = folder / "case"
        work.mkdir()
        assert attempt(folder / name, work / "build", POLICIES[0]) == "built"
        shutil.rmtree(work)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mutations, shares = zip(*MUTATIONS, strict=True)
    endings: Counter[str] = Counter()
    bad: list[str] = []
    for case in range(count):
        rng = random.Random(f"{seed}-{case}")
        work = folder / "case"
        base = rng.choice(sorted(BASES))
        shutil.copytree(folder / base, work / "checkpoint")
        (mutate,) = rng.choices(mutations, shares)
        what = mutate(work / "checkpoint", rng)
        signal.alarm(SECONDS_PER_CASE)
        try:
            endings[attempt(work / "checkpoint", work / "build", rng.choice(POLICIES))] += 1
        except (Exception, Hang):
            bad.append(f"case {case} ({base}): {what}\n{traceback.format_exc()[-1500:]}")
        signal.alarm(0)
        shutil.rmtree(work)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(  # noqa: T201  the parent reads it
        json.dumps({"endings": endings, "bad": bad, "memory_growth_mb": (after - before) / 1024})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
