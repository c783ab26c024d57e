"""A checkpoint -> `Model`: its config finds the family, whose network names its tensors.

config.json ─► family ─► network ─► every tensor claimed, by name and shape ─► Model
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import (
    CheckpointNotFound,
    HnlpuError,
    InvalidConfig,
    InvalidInput,
    MalformedNetwork,
    UnsupportedArchitecture,
)
from hnlpu.model.checkpoint._claim import Weights, claimed, kept_tensors, open_folder
from hnlpu.model.checkpoint._config import SUPPORTED, architecture_of, read_settings
from hnlpu.model.checkpoint._facts import NO_LIMIT, ModelFacts
from hnlpu.model.checkpoint._folder import INDEX, ONNX, SINGLE, other_format
from hnlpu.model.checkpoint._gpt_oss import gpt_oss_model, gpt_oss_network
from hnlpu.model.checkpoint._layouts import is_original, original_config
from hnlpu.model.checkpoint._model import Model
from hnlpu.model.checkpoint.gguf import open_gguf
from hnlpu.model.checkpoint.onnx import OnnxModel, open_onnx
from hnlpu.model.families import Config, Family, SignalConfig, find_family
from hnlpu.model.network import Network, check


@dataclass(frozen=True)
class _Opened:
    """What a path holds: its config's values, the folder of its settings, and how its tensors open.

    `weights` takes the names that the network keeps in memory; `file` is a GGUF file, else None; `settings` has config.json in any case.
    """

    values: dict[str, Any]
    settings: Path
    weights: Callable[[Container[str]], Weights]
    file: Path | None = None


def read_model(path: Path, family: Family[Any] | None = None) -> Model:
    """Read the headers of a checkpoint, a folder or a GGUF file, and check every tensor.

    `family` stands in for the one that `model_type` of its config finds.  Raises
    CheckpointNotFound, UnsupportedArchitecture, InvalidConfig, InvalidInput for a family of other
    models, MalformedNetwork for one that makes no sense, DamagedCheckpoint or TensorMismatch.
    """
    if is_onnx(path):
        if family is not None:
            raise InvalidInput(f"{path}: an ONNX file is its own network; leave the family out")
        found = open_onnx(path)
        return claimed(path, found.facts, found.network, _of_onnx(found))
    opened = _open(path)
    with _blaming(opened):
        if family is None and _is_plain(opened.values):
            architecture = architecture_of(opened.settings / "config.json", opened.values)
            return gpt_oss_model(path, architecture, opened.weights(()))
        facts, network = describe_model(opened.settings, opened.values, family)
    return claimed(path, facts, network, opened.weights(kept_tensors(network)))


def read_network(path: Path) -> Network:
    """The network of a checkpoint, a folder or a GGUF file, by its config alone.

    Raises CheckpointNotFound, UnsupportedArchitecture, InvalidConfig, MalformedNetwork.
    """
    if is_onnx(path):
        return open_onnx(path).network
    opened = _open(path)
    with _blaming(opened):
        if _is_plain(opened.values):
            where = opened.settings / "config.json"
            return gpt_oss_network(architecture_of(where, opened.values))
        return describe_model(opened.settings, opened.values)[1]


def read_network_model(path: Path, facts: ModelFacts, network: Network) -> Model:
    """The model of a network in a checkpoint; raises as `read_model`, but for families."""
    if is_onnx(path):
        return claimed(path, facts, network, _of_onnx(open_onnx(path)))
    return claimed(path, facts, network, _open(path).weights(kept_tensors(network)))


def _is_plain(values: dict[str, Any]) -> bool:
    """Whether `Architecture` describes it: a gpt-oss with layers of one size, heads in whole blocks."""
    if values.get("model_type") not in SUPPORTED or "per_layer" in values:
        return False
    heads, size = values.get("num_attention_heads"), values.get("head_dim", BLOCK)
    return not (isinstance(heads, int) and isinstance(size, int) and heads * size % BLOCK)


def is_onnx(path: Path) -> bool:
    """Whether a path is a file of ONNX's, by its name."""
    return path.suffix.lower() == ".onnx" and path.is_file()


def _of_onnx(found: OnnxModel) -> Weights:
    return Weights(found.tensors, (found.file,), found.settings)


def is_checkpoint(path: Path) -> bool:
    """Whether a path looks like a checkpoint: a folder with config.json, GGUF or ONNX."""
    return (path / "config.json").exists() or bool(gguf_files(path)) or is_onnx(path)


def gguf_files(path: Path) -> list[Path]:
    """The models of a GGUF file or of a folder of such files; of a split the first part."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".gguf" else []
    found = sorted(path.glob("*.gguf")) if path.is_dir() else []
    return [file for file in found if not _LATER_PART.fullmatch(file.name)]


_LATER_PART = re.compile(r".*-(?!00001)\d{5}-of-\d{5}\.gguf")


def _open(path: Path) -> _Opened:
    """What is at a path; raises CheckpointNotFound, DamagedCheckpoint, InvalidConfig ..."""
    if not path.exists():
        raise CheckpointNotFound(f"{path}: no such folder")
    if not path.is_dir() and not gguf_files(path):
        raise CheckpointNotFound(
            f"{path}: a file, not a folder; give the folder of a checkpoint, a .gguf or an .onnx file"
        )
    others = gguf_files(path)
    if others and not (path / INDEX).exists() and not (path / SINGLE).exists():
        if len(others) > 1:
            raise CheckpointNotFound(
                f"{path}: holds {len(others)} models in GGUF format; give one of them, as "
                f"{others[0]}"
            )
        return _open_gguf(others[0])
    values = read_settings(path / "config.json")
    if values is None:
        raise CheckpointNotFound(f"{path}: {_without_config(path)}")
    described = (
        original_config(values, str(path / "config.json")) if is_original(values) else values
    )
    return _Opened(described, path, lambda wanted: open_folder(path, values, wanted))


def _open_gguf(file: Path) -> _Opened:
    found = open_gguf(file)
    weights = Weights(found.tensors, found.files, found.settings, found.notes)
    return _Opened(found.config, found.settings, lambda _: weights, file)


@contextmanager
def _blaming(opened: _Opened) -> Iterator[None]:
    """Errors name the file that the config was read from, not what was made of it."""
    try:
        yield
    except (InvalidConfig, UnsupportedArchitecture, InvalidInput) as error:
        if opened.file is None:
            raise
        text = str(error).replace(str(opened.settings / "config.json"), str(opened.file))
        raise type(error)(text) from None


def _without_config(directory: Path) -> str:
    """What a folder without config.json is, as far as its files tell."""
    found = other_format(directory)
    if found is not None:
        name, kind = found
        if name.endswith(".onnx"):
            return f"no config.json; {name} alone is read as {ONNX}: {directory / name}"
        return (
            f"no config.json; {name} is in {kind} format, which is not read: give the folder of "
            "the checkpoint it was made from, with config.json and *.safetensors"
        )
    if (directory / "adapter_config.json").is_file():
        return (
            "is a LoRA adapter, not a checkpoint; merge it into its base (PEFT: merge_and_unload) "
            "or serve it beside its base as an adapter"
        )
    if (directory / "params.json").is_file():
        return (
            "no config.json, but params.json: is in the layout of Meta or Mistral; give the folder "
            "of the same model in the layout of transformers"
        )
    return (
        "no config.json; give the folder of a checkpoint (of a repository with GGUF files give one: "
        "owner/name/FILE.gguf)"
    )


def describe_model(
    directory: Path, values: dict[str, Any], family: Family[Any] | None = None
) -> tuple[ModelFacts, Network]:
    """What a config says of its model, and the checked network that its family makes of it."""
    path, kind = directory / "config.json", values.get("model_type")
    try:
        of = find_family(kind) if family is None else family
    except UnsupportedArchitecture as error:
        raise UnsupportedArchitecture(f"{path}: {error}") from None
    try:
        if kind not in of.model_types:
            raise InvalidInput(
                f"{path}: model_type is {kind!r}; the family given is of {', '.join(of.model_types)}"
            )
        config = of.config.read(values)
        network = of.network(config)
        check(network)
    except (InvalidConfig, UnsupportedArchitecture) as error:
        raise type(error)(f"{path}: {str(error).removeprefix('config.json: ')}") from None
    except MalformedNetwork as error:
        raise MalformedNetwork(error.rule, f"{path}: {error}") from None
    except HnlpuError:
        raise
    except Exception as error:  # whatever a family from outside raises
        if getattr(of.network, "__module__", "").startswith("hnlpu."):
            raise
        raise InvalidInput(
            f"{path}: the family of {', '.join(of.model_types)} fails on it "
            f"({type(error).__name__}: {error})"
        ) from error
    generation = read_settings(directory / "generation_config.json") or {}
    ends = generation.get("eos_token_id")
    ends = values.get("eos_token_id") if ends is None else ends
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(type(end) is int for end in ends):
        raise InvalidConfig(f"{path}: eos_token_id {json.dumps(ends)[:60]} is no list of tokens")
    facts = ModelFacts(
        family=str(kind),
        config=json.loads(json.dumps(_plain(values))),
        vocab_size=config.vocab_size if isinstance(config, Config) else 0,
        max_position_embeddings=network.context or NO_LIMIT,
        eos_token_ids=tuple(ends),
        task=config.task if isinstance(config, SignalConfig) else None,
    )
    return facts, network


def _plain(value: Any) -> Any:
    """A setting as JSON has it, which knows no infinity."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float) and value - value != 0.0:
        return str(value)
    return value
