"""Tensors of a checkpoint and a network -> `Model`: every tensor claimed, by name and shape.

files ─► `Weights`: tensors by the names that families know ─► constants of the network ─► Model
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.errors import TensorMismatch
from hnlpu.model.checkpoint._config import Architecture
from hnlpu.model.checkpoint._facts import ModelFacts
from hnlpu.model.checkpoint._folder import read_folder
from hnlpu.model.checkpoint._layouts import (
    is_original,
    known_layout,
    original_config,
    original_tensors,
)
from hnlpu.model.checkpoint._model import Model
from hnlpu.model.checkpoint._part import Stored, Tensors, whole
from hnlpu.model.checkpoint._shapes import kept_parameters, shape_of
from hnlpu.model.checkpoint._sourced import SourcedMatrix, SourcedTensor, claim
from hnlpu.model.checkpoint.packed import Decoded, unpacked
from hnlpu.model.network import (
    Network,
    Source,
    Tensor,
    all_leaves,
    chosen_leaves,
    leaf_tensors,
)


@dataclass(frozen=True)
class Weights:
    """Tensors by the names that a family's network knows, and the files that they lie in.

    `settings` is the folder of config and tokenizer; `notes` says what was left out, and why that
    changes no weight.  `layout` names one that others write, where the tensors were in one, and
    `packed` says that matrices were decoded.
    """

    tensors: Tensors
    files: tuple[Path, ...]
    settings: Path
    notes: tuple[str, ...] = ()
    layout: str = ""
    packed: bool = False


def open_folder(directory: Path, config: dict[str, Any], wanted: Container[str]) -> Weights:
    """The tensors of a folder of safetensors, decoded as its config says.

    `wanted` are the names of the tensors that the network keeps in memory (`kept_tensors`).

    Raises DamagedCheckpoint, TensorMismatch or UnsupportedArchitecture.
    """
    stored = read_folder(directory)
    files = tuple(sorted({tensor.file for tensor in stored.values()}))
    tensors, notes = unpacked(stored, config, directory, wanted)
    if is_original(config):
        known = original_tensors(tensors, original_config(config, str(directory)))
        layout = "OpenAI's original layout"
    else:
        known, layout = known_layout(tensors, config)
    packed = any(isinstance(tensor, Decoded) for tensor in tensors.values())
    return Weights(known, files, directory, notes, layout, packed)


def kept_tensors(network: Network) -> frozenset[str]:
    """Names of the tensors, of every alternative, that a network keeps in memory."""
    leaves = (leaf for p in kept_parameters(network) for leaf in all_leaves(p.source))
    return frozenset(name for leaf in leaves for name in leaf_tensors(leaf))


def claimed(
    directory: Path, facts: Architecture | ModelFacts, network: Network, weights: Weights
) -> Model:
    """The model of a network whose constants lie in `weights`; raises TensorMismatch.

    Every constant finds its tensors, and no tensor is left over.
    """
    stored, taken = weights.tensors, set[str]()

    def found(source: Source, name: str) -> SourcedTensor:
        try:
            tensors = claim(source, stored, directory)
        except TensorMismatch as error:
            raise TensorMismatch(f"{error}{_what_is_there(source, weights)}") from None
        taken.update(tensors)
        return SourcedTensor(name, source, tensors)

    matrices: dict[str, SourcedMatrix] = {}
    for m in network.matrices:
        of = found(m.source, m.name)
        bias = None if m.bias is None else found(m.bias, _bias_name(m.name, m.bias))
        matrices[m.name] = SourcedMatrix(shape_of(m), m.source, of.tensors, bias)
    vectors = {p.name: found(p.source, p.name) for p in kept_parameters(network)}
    notes = list(weights.notes)
    left_out = {other.start: other.reason for other in network.left_out}
    for name in sorted(stored.keys() - taken):
        start = next((start for start in left_out if name.startswith(start)), None)
        if start is not None:
            text = f"tensors {start}... are left out: {left_out[start]}"
            notes += [text] * (text not in notes)
        elif not _says_nothing(stored[name], weights.packed, notes):
            _refuse_left_over(stored[name], facts)
    return Model(
        directory, facts, network, matrices, vectors, weights.files, weights.settings, tuple(notes)
    )


def _what_is_there(source: Source, weights: Weights) -> str:
    """In what way a checkpoint lies otherwise than its family knows, as far as names tell."""
    if weights.layout:
        return f" (the checkpoint is in {weights.layout})"
    for leaf in chosen_leaves(source, weights.tensors.__contains__):
        for name in leaf_tensors(leaf):
            if name in weights.tensors:
                continue
            for there in sorted(weights.tensors):
                if there.endswith(f".{name}") or name.endswith(f".{there}"):
                    return (
                        f"; {there} is there: the model was saved inside another or without its "
                        "head; load it as a causal language model of transformers and save that"
                    )
    return ""


def _says_nothing(tensor: Stored, packed: bool, notes: list[str]) -> bool:
    """Whether a tensor that nobody claims changes nothing; what it is goes into the notes.

    Frequencies of positions follow from the config, and packers add biases of zeros.
    """
    if tensor.name.endswith("rotary_emb.inv_freq"):
        text = "rotary_emb.inv_freq is left out: the config says how positions turn"
    elif packed and tensor.name.endswith(".bias") and not tensor.read(whole(tensor.shape)).any():
        text = "biases that are all zero are left out: the model has none"
    else:
        return False
    if text not in notes:
        notes.append(text)
    return True


def _bias_name(matrix: str, source: Source) -> str:
    return source.name if isinstance(source, Tensor) else f"{matrix}.bias"


def _refuse_left_over(tensor: Stored, facts: Architecture | ModelFacts) -> None:
    family = facts.family if isinstance(facts, ModelFacts) else "gpt-oss"
    raise TensorMismatch(
        f"{tensor.file}: unexpected tensor {tensor.name}; a {family} model of this config has none "
        "by that name"
    )
