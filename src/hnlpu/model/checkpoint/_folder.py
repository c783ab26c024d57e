"""A folder of safetensors -> its tensors: one file, shards with an index, or both where they agree.

transformers reads `model.safetensors` where it is there and the index only without it.  Where both
are there and say different things, one of them is left over from another time: they are compared.
"""

from __future__ import annotations

import json
from pathlib import Path

from hnlpu.errors import DamagedCheckpoint
from hnlpu.model.checkpoint._tensors import StoredTensor, read_header, unique_pairs

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
INDEX_LIMIT = 64 * 2**20
LONGEST_NAME = 255  # bytes of a file's name that file systems take

Tensors = dict[str, StoredTensor]


def read_folder(directory: Path) -> Tensors:
    """All tensors of a checkpoint folder, from one file or from shards with an index.

    Raises DamagedCheckpoint when a shard is missing, lacks a tensor that the
    index promises, holds one that it does not, two shards hold the same, or a single file beside
    the shards holds other tensors than they do.
    """
    index_path, single = directory / INDEX, directory / SINGLE
    if not index_path.exists():
        if single.exists():
            return read_header(single)[0]
        raise DamagedCheckpoint(
            f"{directory}: neither {SINGLE} nor {INDEX} is there{_other_weights(directory)}"
        )
    where = _read_weight_map(index_path)
    if single.exists() and SINGLE not in where.values():
        whole = read_header(single)[0]
        if any((directory / file).is_file() for file in set(where.values()) if _short(file)):
            _expect_same(whole, _read_shards(directory, index_path, where), index_path)
        return whole
    return _read_shards(directory, index_path, where)


def _short(file: str) -> bool:
    return len(file.encode(errors="replace")) <= LONGEST_NAME


def _read_shards(directory: Path, index_path: Path, where: dict[str, str]) -> Tensors:
    tensors: Tensors = {}
    for file in sorted(set(where.values())):
        shard = directory / file
        if not _short(file) or not shard.is_file():
            raise DamagedCheckpoint(f"{index_path}: names the shard {file}, which is missing")
        for name, tensor in read_header(shard)[0].items():
            if name in tensors:
                raise DamagedCheckpoint(
                    f"{shard}: tensor {name} is also in {tensors[name].file.name}"
                )
            if where.get(name) != file:
                raise DamagedCheckpoint(
                    f"{shard}: holds {name}, which the index does not place there"
                )
            tensors[name] = tensor
    for name, file in where.items():
        if name not in tensors:
            raise DamagedCheckpoint(
                f"{directory / file}: lacks {name}, which the index places there"
            )
    return tensors


def _expect_same(whole: Tensors, shards: Tensors, index_path: Path) -> None:
    """Raise DamagedCheckpoint where a single file and shards beside it differ in any tensor."""
    for name in sorted(whole.keys() | shards.keys()):
        one, other = whole.get(name), shards.get(name)
        if one is None or other is None or not _same(one, other):
            raise DamagedCheckpoint(
                f"{index_path.parent}: {SINGLE} and the shards of {INDEX} disagree on {name}; one "
                f"is of another model: remove {SINGLE}, or the index and its shards (transformers "
                f"reads {SINGLE})"
            )


def _same(one: StoredTensor, other: StoredTensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    size = one.size_bytes
    with one.file.open("rb") as a, other.file.open("rb") as b:
        a.seek(one.offset)
        b.seek(other.offset)
        while size > 0:
            step = min(size, 2**22)
            if a.read(step) != b.read(step):
                return False
            size -= step
    return True


OTHERS = {
    "*.bin": "PyTorch's pickled",
    "*.pth": "PyTorch's pickled",
    "*.pt": "PyTorch's pickled",
    "*.ckpt": "PyTorch's pickled",
    "*.h5": "Keras's HDF5",
    "*.msgpack": "Flax's msgpack",
    "*.onnx": "ONNX",
    "*.npz": "NumPy's or MLX's npz",
}
"""Files of weights that a folder is not read from, and what their format is called."""
ONNX = "a network of signals where the file itself is given"


def _other_weights(directory: Path) -> str:
    """What is there instead, if it is known, and the remedy."""
    found = other_format(directory)
    if found is not None:
        name, kind = found
        if name.endswith(".onnx"):
            return f"; {name} alone is read as {ONNX}, a model of text from safetensors"
        return f"; {name} is in {kind} format, which is not read: save the model as safetensors"
    shards = sorted(directory.glob("*.safetensors"))
    if shards:
        return (
            f"; {shards[0].name} is there without an index: add {INDEX} of the model's repository, "
            f"or name a single file {SINGLE}"
        )
    return ""


def other_format(directory: Path) -> tuple[str, str] | None:
    """A file of weights in a format that a folder is not read from, and that format."""
    for pattern, kind in OTHERS.items():
        for path in sorted(directory.glob(pattern)):
            return path.name, kind
    return None


def _read_weight_map(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > INDEX_LIMIT:
            raise DamagedCheckpoint(f"{path}: larger than {INDEX_LIMIT} bytes")
        index = json.loads(path.read_bytes(), object_pairs_hook=unique_pairs)
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path}: not a readable index ({error})") from None
    where = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(where, dict) or not where:
        raise DamagedCheckpoint(f"{path}: has no weight_map")
    for name, file in where.items():
        if not isinstance(file, str) or Path(file).name != file or not file:
            raise DamagedCheckpoint(
                f"{path}: {name} is placed in {file!r}, not a file of this folder"
            )
    return where
