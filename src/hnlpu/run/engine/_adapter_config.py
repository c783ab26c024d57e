"""adapter_config.json of PEFT -> what an adapter is said to change, and by how much.

Every key is read, or harmless for a reason, or refused by its name: an adapter that does more than
plain LoRA would run as something else.  Which modules are meant, and which rank and alpha each has,
is decided as PEFT decides it (`check_target_module_exists`, `get_pattern_key`).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.errors import DamagedAdapter

RANK_LIMIT = 1024
_READ = {
    "alpha_pattern", "bias", "exclude_modules", "init_lora_weights", "layers_pattern",
    "layers_to_transform", "lora_alpha", "peft_type", "r", "rank_pattern", "target_modules",
    "target_parameters", "use_rslora",
}  # fmt: skip
_HARMLESS = {
    "auto_mapping": "classes of another library",
    "base_model_name_or_path": "where the base was",
    "corda_config": "first values: training only, but for init_lora_weights, which is read",
    "eva_config": "first values: training only",
    "inference_mode": "training only",
    "loftq_config": "first values: training only, but for init_lora_weights, which is read",
    "lora_dropout": "training only",
    "lora_ga_config": "first values: training only, but for init_lora_weights, which is read",
    "megatron_core": "a module of another library",
    "peft_version": "who wrote the file",
    "qalora_group_size": "of use_qalora",
    "revision": "where the base was",
    "runtime_config": "how another library saves memory",
    "task_type": "a class of another library",
}
_CHANGE = {
    "alora_invocation_tokens": "it acts behind those tokens alone (aLoRA)",
    "arrow_config": "it mixes adapters (Arrow)",
    "ensure_weight_tying": "it changes the embedding",
    "fan_in_fan_out": "its matrices are transposed",
    "layer_replication": "it repeats layers of the base",
    "lora_bias": "it has biases of its own",
    "modules_to_save": "it replaces modules of the base: merge it into the base and build that",
    "trainable_token_indices": "it changes the embedding",
    "use_bdlora": "its matrices are block-diagonal",
    "use_dora": "it scales the base's rows (DoRA): merge it into the base and build that",
    "use_qalora": "it sums inputs in groups (QA-LoRA)",
}
"""Keys that change what is computed, and how, where they are set."""
_KEEPS_THE_BASE = (True, False, None, "gaussian", "eva", "orthogonal")
"""Values of init_lora_weights after which the base is what it was."""
_CONVERT = (
    "convert it: save_pretrained(..., path_initial_model_for_weight_conversion=...) of PEFT writes "
    "it as plain LoRA"
)
_SURELY_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Modules that "all-linear" means in every version of every model; others may be parameters there."""


@dataclass(frozen=True)
class AdapterConfig:
    """What adapter_config.json says; `values` are its keys as they are."""

    path: Path
    values: dict[str, Any]

    @property
    def names_nothing(self) -> bool:
        """Whether it names no modules and no parameters, as PEFT never writes it."""
        return all(self.values.get(key) is None for key in ("target_modules", "target_parameters"))

    def rank(self, module: str) -> int:
        """Rank of a module's part."""
        return int(self._patterned("rank_pattern", module, self.values["r"]))

    def scaling(self, module: str) -> float:
        """What a module's part is multiplied by."""
        alpha = float(self._patterned("alpha_pattern", module, self.values["lora_alpha"]))
        rank = self.rank(module)
        return alpha / (math.sqrt(rank) if self.values.get("use_rslora") else rank)

    def _patterned(self, key: str, module: str, default: Any) -> Any:
        for pattern, value in (self.values.get(key) or {}).items():
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        return default

    def targets(self, module: str) -> bool:
        """Whether a module, as model.layers.0.self_attn.q_proj, is meant by target_modules."""
        excluded, wanted = self.values.get("exclude_modules"), self.values.get("target_modules")
        if excluded and _meant(excluded, module):
            return False
        if wanted == "all-linear":
            return module.rpartition(".")[2] != "lm_head"
        if not wanted or not _meant(wanted, module):
            return False
        return isinstance(wanted, str) or self._layer_is_meant(module)

    def may_lack(self, module: str) -> bool:
        """Whether a module that is meant may be one that PEFT did not find in its model."""
        everything = self.values.get("target_modules") == "all-linear"
        return everything and module.rpartition(".")[2] not in _SURELY_LINEAR

    def _layer_is_meant(self, module: str) -> bool:
        layers = self.values.get("layers_to_transform")
        if layers is None or layers == []:
            return True
        patterns = self.values.get("layers_pattern") or [r"[^.]*"]
        patterns = [patterns] if isinstance(patterns, str) else patterns
        found = next(
            (m for p in patterns if (m := re.match(rf"(?:^|.*?\.){p}\.(\d+)\.", module))), None
        )
        if found is None:
            return False
        return int(found[1]) in (layers if isinstance(layers, list) else [layers])

    def targets_parameter(self, parameter: str) -> bool:
        """Whether a parameter, as model.layers.0.mlp.router.weight, is one of target_parameters."""
        wanted = self.values.get("target_parameters") or ()
        return any(f".{parameter}".endswith(f".{target}") for target in wanted)


def _meant(wanted: Any, module: str) -> bool:
    if isinstance(wanted, str):
        return re.fullmatch(wanted, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in wanted)


def read_config(path: Path) -> AdapterConfig:
    """Read and check an adapter_config.json; raises DamagedAdapter."""
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DamagedAdapter(
            f"{path}: file is missing; give the folder of a PEFT adapter"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedAdapter(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise DamagedAdapter(f"{path}: peft_type is not LORA; only LoRA adapters can be run")
    _check_numbers(path, config)
    _check_names(path, config)
    for key, value in config.items():
        _refuse_unread(path, key, value)
    start = config.get("init_lora_weights", True)
    if not any(start is kept or start == kept for kept in _KEEPS_THE_BASE):
        raise DamagedAdapter(
            f"{path}: init_lora_weights is {str(start)[:40]!r}: PEFT changes the base when it loads "
            f"this adapter; {_CONVERT}"
        )
    return AdapterConfig(path, config)


def _check_numbers(path: Path, config: dict[str, Any]) -> None:
    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    if not isinstance(ranks, dict) or not isinstance(alphas, dict):
        raise DamagedAdapter(f"{path}: rank_pattern and alpha_pattern must be objects")
    for name, rank in [("r", config.get("r")), *ranks.items()]:
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= RANK_LIMIT:
            raise DamagedAdapter(f"{path}: {name} is {rank!r}; must be from 1 to {RANK_LIMIT}")
    for name, alpha in [("lora_alpha", config.get("lora_alpha")), *alphas.items()]:
        number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
        if not number or not math.isfinite(alpha):
            raise DamagedAdapter(f"{path}: {name} is {alpha!r}; must be a number")
    try:
        for pattern in (*ranks, *alphas):
            re.compile(pattern)
    except re.error as error:
        raise DamagedAdapter(f"{path}: the pattern {pattern[:60]!r} is none ({error})") from None


def _check_names(path: Path, config: dict[str, Any]) -> None:
    """Lists of names are lists, and expressions can be read."""
    for key in ("target_modules", "exclude_modules", "target_parameters", "layers_pattern"):
        value = config.get(key)
        names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        text = isinstance(value, str) and key != "target_parameters"
        if value is not None and not names and not text:
            raise DamagedAdapter(f"{path}: {key} must be a list of names")
        try:
            re.compile(value if isinstance(value, str) else "")
        except re.error as error:
            raise DamagedAdapter(f"{path}: {key} is no expression ({error})") from None
    layers = config.get("layers_to_transform")
    numbers = layers if isinstance(layers, list) else [] if layers is None else [layers]
    if not all(type(number) is int for number in numbers):
        raise DamagedAdapter(f"{path}: layers_to_transform must be numbers of layers")


def _refuse_unread(path: Path, key: str, value: Any) -> None:
    if key == "bias" and value not in (None, "none"):
        raise DamagedAdapter(f"{path}: bias is {value!r}; supported: none")
    if not value or key in _READ or key in _HARMLESS:
        return
    if key in _CHANGE:
        raise DamagedAdapter(f"{path}: {key} is set, which is not supported: {_CHANGE[key]}")
    raise DamagedAdapter(
        f"{path}: {key[:60]} = {str(value)[:60]} is no key that adapters are known to have; what it "
        "changes cannot be told"
    )
