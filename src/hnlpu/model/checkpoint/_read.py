"""A checkpoint folder -> `Model`: its config finds the family, whose network names its tensors.

config.json ─► family ─► network ─► every tensor claimed, by name and shape ─► Model
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hnlpu.errors import (
    CheckpointNotFound,
    HnlpuError,
    InvalidConfig,
    InvalidInput,
    MalformedNetwork,
    TensorMismatch,
    UnsupportedArchitecture,
)
from hnlpu.model.checkpoint._config import SUPPORTED, read_architecture, read_settings
from hnlpu.model.checkpoint._facts import NO_LIMIT, ModelFacts
from hnlpu.model.checkpoint._gpt_oss import gpt_oss_network, read_gpt_oss
from hnlpu.model.checkpoint._model import Model
from hnlpu.model.checkpoint._shapes import kept_parameters, shape_of
from hnlpu.model.checkpoint._sourced import SourcedMatrix, SourcedTensor, claim
from hnlpu.model.checkpoint._tensors import ORIGINAL, StoredTensor, other_format, read_index
from hnlpu.model.families import Family, find_family
from hnlpu.model.network import Network, check


def read_model(directory: Path, family: Family[Any] | None = None) -> Model:
    """Read the headers of a checkpoint folder and check every tensor.

    `family` stands in for the one that `model_type` of its config finds.  Raises
    CheckpointNotFound, UnsupportedArchitecture, InvalidConfig, InvalidInput for a family of other
    models, MalformedNetwork for one that makes no sense, DamagedCheckpoint or TensorMismatch.
    """
    if not directory.exists():
        raise CheckpointNotFound(f"{directory}: no such folder")
    if not directory.is_dir():
        kind = " of llama.cpp's GGUF format, which is not read" * (directory.suffix == ".gguf")
        raise CheckpointNotFound(
            f"{directory}: a file{kind}, not a folder; give the folder of a checkpoint"
        )
    values = read_settings(directory / "config.json")
    if values is None:
        raise CheckpointNotFound(f"{directory}: {_without_config(directory)}")
    if "model_type" not in values and {"num_experts", "swiglu_limit"} <= values.keys():
        raise UnsupportedArchitecture(f"{directory}: {ORIGINAL}")
    if family is None and values.get("model_type") in SUPPORTED:
        return read_gpt_oss(directory)
    facts, network = describe_model(directory, values, family)
    return read_network_model(directory, facts, network)


def _without_config(directory: Path) -> str:
    """What a folder without config.json is, as far as its files tell."""
    found = other_format(directory)
    if found is not None:
        name, kind = found
        return (
            f"no config.json; {name} is in {kind} format, which is not read: give the folder of "
            "the checkpoint it was made from, with config.json and *.safetensors"
        )
    if (directory / "adapter_config.json").is_file():
        return (
            "is a LoRA adapter, not a checkpoint; merge it into its base (PEFT: merge_and_unload) "
            "or serve it beside its base as an adapter"
        )
    return "no config.json; give the folder of a checkpoint"


def read_network(directory: Path) -> Network:
    """The network of a checkpoint folder, by its config alone.

    Raises CheckpointNotFound, UnsupportedArchitecture, InvalidConfig, MalformedNetwork.
    """
    values = read_settings(directory / "config.json")
    if values is None:
        raise CheckpointNotFound(f"{directory}: no config.json; give the folder of a checkpoint")
    if values.get("model_type") in SUPPORTED:
        return gpt_oss_network(read_architecture(directory))
    return describe_model(directory, values)[1]


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
        vocab_size=config.vocab_size,
        max_position_embeddings=network.context or NO_LIMIT,
        eos_token_ids=tuple(ends),
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


def read_network_model(directory: Path, facts: ModelFacts, network: Network) -> Model:
    """The model of a network in a folder of tensors; raises DamagedCheckpoint, TensorMismatch."""
    stored = read_index(directory)
    taken: dict[str, StoredTensor] = {}
    matrices: dict[str, SourcedMatrix] = {}
    for m in network.matrices:
        tensors, bias = claim(m.source, stored, directory), None
        taken |= tensors
        if m.bias is not None:
            of_bias = claim(m.bias, stored, directory)
            taken |= of_bias
            bias = SourcedTensor(f"{m.name}.bias", m.bias, of_bias)
        matrices[m.name] = SourcedMatrix(shape_of(m), m.source, tensors, bias)
    vectors: dict[str, SourcedTensor] = {}
    for p in kept_parameters(network):
        tensors = claim(p.source, stored, directory)
        taken |= tensors
        vectors[p.name] = SourcedTensor(p.name, p.source, tensors)
    left_out = tuple(other.start for other in network.left_out)
    for name in sorted(stored.keys() - taken.keys()):
        if left_out and name.startswith(left_out):
            continue
        raise TensorMismatch(
            f"{stored[name].file}: unexpected tensor {name}; a {facts.family} model of this "
            "config has none by that name"
        )
    return Model(directory, facts, network, matrices, vectors, tuple(stored.values()))
