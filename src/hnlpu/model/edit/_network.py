"""An edit of a model -> its new config.json and network, and what of each old constant is kept.

config ─► sizes by layer ─► family ─► network' ─► for each matrix of it: rows, columns, members of the old one
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidConfig, InvalidInput, UnsupportedArchitecture
from hnlpu.model.edit._selection import Edit, LayerSelection, Numbers, keep_all
from hnlpu.model.families import DecoderConfig, Family
from hnlpu.model.network import Matrix, Network, Parameter, dump, ops

Ints = npt.NDArray[np.int64]


ALIASES = {"num_experts": "num_local_experts", "num_local_experts": "num_experts"}
"""Keys that say the same in other generations of a config.json; a reader of either finds the new size."""
HEADS = frozenset({"num_attention_heads", "num_key_value_heads"})
"""One divides the other, in the config as in each layer: both are said at one place."""
LAYER_LISTS = ("layer_types", "no_rope_layers", "per_layer")
"""Keys with an entry for each layer.  Other lists may be as long by chance (`eos_token_id`)."""


@dataclass(frozen=True)
class KeptOfMatrix:
    """Rows, columns and members of an old matrix that are kept, all where None.

    Rows and columns are [n], or [members, n] where each member keeps its own.
    """

    rows: Ints | None = None
    columns: Ints | None = None
    members: Numbers | None = None


@dataclass(frozen=True)
class Cutting:
    """The new config and network, and by the new names what is kept of which old constant.

    Names of tensors differ from the old ones where whole layers are gone and others take their numbers.
    """

    config: Mapping[str, Any]
    network: Network
    matrices: Mapping[str, tuple[str, KeptOfMatrix]]
    parameters: Mapping[str, tuple[str, Ints | None]]


def edited(
    family: Family[Any], values: Mapping[str, Any], edit: Edit, *, renumber: bool = False
) -> Cutting:
    """What a config.json's model is after an edit.

    `renumber` drops layers that keep nothing, where the family's layers do not depend on their numbers; else they
    stay, empty.  Raises UnsupportedArchitecture where something is taken out of layers of a family whose layers have
    one size, InvalidInput for a selection that is no selection of the model.
    """
    config = family.config.read(values)
    if edit.layers == keep_all(len(edit.layers)):
        return _unchanged(family, values)
    if not isinstance(config, DecoderConfig) or not config.varying:
        raise UnsupportedArchitecture(
            f"{values.get('model_type')}: layers of this family are all of one size, so nothing can be "
            "taken out of them"
        )
    if len(edit.layers) != config.num_hidden_layers:
        raise InvalidInput(
            f"an edit of {len(edit.layers)} layers, the model has {config.num_hidden_layers}"
        )
    before = family.read(values)
    sparse = {m.block for m in before.matrices if m.role == "experts"}
    chosen = [_Layer(config, n, kept, n in sparse) for n, kept in enumerate(edit.layers)]
    new = _with_layers(values, [layer.described() for layer in chosen])
    new.setdefault("head_dim", config.head_dim)  # hidden_size / heads is no longer what it was
    after = family.read(new)
    cutting = Cutting(new, after, _matrices(before, after, chosen), _vectors(before, after, chosen))
    gone = [n for n, layer in enumerate(chosen) if layer.is_empty]
    if not renumber or not gone or len(gone) == len(chosen):
        return cutting
    return _renumbered(family, cutting, gone, len(chosen))


def _unchanged(family: Family[Any], values: Mapping[str, Any]) -> Cutting:
    """All of a model, of any family: only weights are others."""
    plain = {key: value for key, value in values.items() if key != "quantization_config"}
    network = family.read(plain)
    if network != family.read(values):
        raise UnsupportedArchitecture(
            f"{values.get('model_type')}: its config says how weights were quantised; they cannot be others"
        )
    return Cutting(
        plain,
        network,
        {m.name: (m.name, KeptOfMatrix()) for m in network.matrices},
        {p.name: (p.name, None) for p in network.parameters},
    )


class _Layer:
    """A layer's sizes before an edit, and its selection; a `sparse` one has experts."""

    def __init__(self, config: DecoderConfig, number: int, kept: LayerSelection, sparse: bool):
        self.number, self.kept = number, kept
        self._own = config.at(number)
        self._halves = (
            config.has(number, "attention") and kept.attention,
            config.has(number, "feed_forward") and kept.feed_forward,
        )
        others = {"inner"} if sparse else {"experts", "expert_inner"}
        self._varying = {axis: key for axis, key in config.varying.items() if axis not in others}
        for name in ("heads", "inner", "experts"):
            if (numbers := getattr(kept, name)) is not None:
                self._check(name, numbers, self.size(name))
        if kept.expert_inner is not None:
            held = len(kept.experts) if kept.experts is not None else self.size("experts")
            if len(kept.expert_inner) != held or len(set(map(len, kept.expert_inner))) != 1:
                raise InvalidInput(
                    f"layer {number}: expert_inner must name as many neurons for each of {held} experts"
                )
            for numbers in kept.expert_inner:
                self._check("expert_inner", numbers, self.size("expert_inner"))
        self.kv_heads = self._kept_kv_heads()

    def size(self, axis: Any) -> int:
        """How many of an axis the layer has."""
        key = self._varying.get(axis)
        if key is None:
            raise InvalidInput(f"layer {self.number}: it has no {axis}")
        return int(getattr(self._own, key))

    def _check(self, axis: str, numbers: Sequence[int], size: int) -> None:
        rising = all(a < b for a, b in itertools.pairwise(numbers))
        if not numbers or not rising or numbers[0] < 0 or numbers[-1] >= size:
            raise InvalidInput(
                f"layer {self.number}: {axis} must be numbers from 0 to {size - 1}, rising, at least one"
            )

    def _kept_kv_heads(self) -> Numbers | None:
        if self.kept.heads is None:
            return None
        group = self.size("heads") // self.size("kv_heads")
        counts: dict[int, int] = {}
        for head in self.kept.heads:
            counts[head // group] = counts.get(head // group, 0) + 1
        if len(set(counts.values())) != 1:
            raise InvalidInput(
                f"layer {self.number}: heads {list(self.kept.heads)}: each head of keys and values "
                "must keep as many query heads as the others, or none"
            )
        return tuple(counts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of it."""
        return not any(self._halves)

    def described(self) -> dict[str, Any]:
        """The layer as `per_layer` has it, with all its sizes."""
        attention, feed_forward = self._halves
        found: dict[str, Any] = {}
        counts = {
            "heads": self.kept.heads, "kv_heads": self.kv_heads, "inner": self.kept.inner,
            "experts": self.kept.experts,
            "expert_inner": None if self.kept.expert_inner is None else self.kept.expert_inner[0],
        }  # fmt: skip
        for axis, key in self._varying.items():
            numbers = counts[axis]
            there = attention if axis in ("heads", "kv_heads") else feed_forward
            if there:
                found[key] = self.size(axis) if numbers is None else len(numbers)
        return {
            **({} if attention else {"attention": False}),
            **({} if feed_forward else {"feed_forward": False}),
            **found,
        }

    def rows_of(self, axis: str, old: int, new: int) -> Ints:
        """Which of `old` rows of an axis `new` are kept: a run for each number that is kept."""
        numbers, size = self._numbers(axis)
        each, rest = divmod(old, size)
        if rest or each * len(numbers) != new:
            raise InvalidInput(f"layer {self.number}: {old} rows are no rows of {size} {axis}")
        runs = np.asarray(numbers)[:, None] * each + np.arange(each)
        return np.asarray(runs.reshape(-1), np.int64)

    def _numbers(self, axis: str) -> tuple[Sequence[int], int]:
        numbers = self.kv_heads if axis == "kv_heads" else getattr(self.kept, axis)
        size = self.size(axis)
        return (range(size) if numbers is None else numbers), size

    def is_length(self, axis: str, old: int, new: int) -> bool:
        """Whether a length that went from old to new may be one of an axis."""
        if axis not in self._varying:
            return False
        numbers, size = self._numbers(axis)
        each, rest = divmod(old, size)
        return rest == 0 and each * len(numbers) == new


def _with_layers(values: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A config with these layers: sizes that all of them share stand outside of `per_layer`."""
    new = {k: v for k, v in values.items() if k not in ("per_layer", "quantization_config")}
    keys = {key for layer in layers for key in layer if key not in ("attention", "feed_forward")}
    sizes = {key: {layer[key] for layer in layers if key in layer} for key in sorted(keys)}
    alike = {key: found for key, found in sizes.items() if len(found) == 1}
    if not alike.keys() >= HEADS:
        alike = {key: found for key, found in alike.items() if key not in HEADS}
    for key, found in alike.items():
        (new[key],) = found
        if (other := ALIASES.get(key)) in new:  # two generations of the file
            new[other] = new[key]
    own = [{k: v for k, v in layer.items() if v is False or new.get(k) != v} for layer in layers]
    if any(own):
        new["per_layer"] = own
    return new


def _matrices(
    before: Network, after: Network, layers: Sequence[_Layer]
) -> dict[str, tuple[str, KeptOfMatrix]]:
    old = {matrix.name: matrix for matrix in before.matrices}
    pairs = _interleaved(before)
    return {m.name: (m.name, _kept(old[m.name], m, layers, pairs)) for m in after.matrices}


def _kept(old: Matrix, new: Matrix, layers: Sequence[_Layer], pairs: set[str]) -> KeptOfMatrix:
    if old.block is None:
        return KeptOfMatrix()
    layer = layers[old.block]
    rows = columns = None
    members = layer.kept.experts if old.members is not None else None
    if old.role == "experts":
        inner = layer.kept.expert_inner
        if inner is not None:
            numbers = np.asarray(inner, np.int64)
            if old.rows != new.rows:
                twice = old.name in pairs
                rows = (
                    np.stack([2 * numbers, 2 * numbers + 1], axis=-1).reshape(len(numbers), -1)
                    if twice
                    else numbers
                )
            if old.columns != new.columns:
                columns = numbers
        return KeptOfMatrix(rows, columns, members)
    axes = {"attention": ("heads", "kv_heads"), "router": ("experts",)}.get(old.role, ("inner",))
    if old.rows != new.rows:
        rows = _run(layer, axes, old.rows, new.rows, old.name)
    if old.columns != new.columns:
        columns = _run(layer, axes[:1], old.columns, new.columns, old.name)
    return KeptOfMatrix(rows, columns, members)


def _run(layer: _Layer, axes: Sequence[str], old: int, new: int, name: str) -> Ints:
    """The rows that are kept, of the one axis that the two lengths can be of."""
    found = [layer.rows_of(axis, old, new) for axis in axes if layer.is_length(axis, old, new)]
    if not found or any(not np.array_equal(found[0], other) for other in found[1:]):
        raise InvalidInput(f"{name}: it cannot be told which {new} of {old} are kept")
    return found[0]


def _interleaved(network: Network) -> set[str]:
    """Matrices whose rows are gate and up in turn: what `clamped_swiglu` takes apart."""
    made = {name: step for step in network.steps for name in step.outs}
    found = set()
    for span in network.spans:
        if span.composite == "clamped_swiglu":
            (taken,) = (
                arg
                for arg in network.steps[span.start].args
                if isinstance(arg, str) and arg in made
            )
            op = made[taken].op
            if isinstance(op, ops.FromSums):
                found.add(op.matrix)
    return found


def _vectors(
    before: Network, after: Network, layers: Sequence[_Layer]
) -> dict[str, tuple[str, Ints | None]]:
    old = {parameter.name: parameter for parameter in before.parameters}
    return {p.name: (p.name, _kept_entries(old[p.name], p, layers)) for p in after.parameters}


def _kept_entries(old: Parameter, new: Parameter, layers: Sequence[_Layer]) -> Ints | None:
    if old.shape == new.shape:
        return None
    if old.block is None or len(old.shape) != 1:
        raise InvalidInput(f"{old.name}: it cannot be told what of {list(old.shape)} is kept")
    axes = ("heads", "kv_heads", "experts", "inner")
    return _run(layers[old.block], axes, old.shape[0], new.shape[0], old.name)


def _renumbered(family: Family[Any], cutting: Cutting, gone: Sequence[int], count: int) -> Cutting:
    """The same without the layers `gone`; as it is where numbers of layers mean something."""
    left = [n for n in range(count) if n not in gone]
    values = dict(cutting.config)
    for key in LAYER_LISTS:
        if isinstance(value := values.get(key), list) and len(value) == count:
            values[key] = [value[n] for n in left]
    values["num_hidden_layers"] = len(left)
    if not any(values.get("per_layer", ())):
        values.pop("per_layer", None)
    numbers = {old: new for new, old in enumerate(left)}
    try:
        network = family.read(values)
    except InvalidConfig:  # a family of somebody else's, whose layers are listed by other keys
        return cutting
    if _renamed(dump(cutting.network), numbers) != json.loads(dump(network)):
        return cutting
    names = {_rename(name, numbers): name for name in cutting.matrices}
    vectors = {_rename(name, numbers): name for name in cutting.parameters}
    return Cutting(
        values,
        network,
        {new: cutting.matrices[old] for new, old in names.items()},
        {new: cutting.parameters[old] for new, old in vectors.items()},
    )


_NUMBER = re.compile(r"(?<![\w.])b(\d+)\.|\.layers\.(\d+)\.")


def _rename(name: str, numbers: Mapping[int, int]) -> str:
    def other(found: re.Match[str]) -> str:
        old = found.group(1) or found.group(2)
        return found.group(0).replace(old, str(numbers[int(old)]))

    return _NUMBER.sub(other, name)


def _renamed(text: str, numbers: Mapping[int, int]) -> Any:
    """A network as JSON with the new numbers of its layers."""

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: walk(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v, key) for v in value]
        if isinstance(value, str):
            return _rename(value, numbers)
        return numbers[value] if key == "block" and isinstance(value, int) else value

    return walk(json.loads(text))
