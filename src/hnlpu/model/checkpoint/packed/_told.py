"""`quantization_config`: every key is read, or harmless for a reason, or refused by its name.

A packing may do more than keep numbers small: rotate them, order inputs by weight, give some modules other widths.
What is not said to be read or harmless here could be of that kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hnlpu.errors import InvalidConfig, UnsupportedArchitecture

_READ = {
    "bits", "checkpoint_format", "config_groups", "desc_act", "dynamic", "format", "group_size",
    "linear_class", "packing_format", "quant_algo", "quant_method", "quantization_mode",
    "sparsity_config", "transform_config", "use_rms_norm", "version", "weight_block_size",
    "zero_point",
}  # fmt: skip
_WHAT_IS_PACKED = {
    "block_name_to_quantize", "exclude_modules", "ignore", "ignored_layers", "lm_head",
    "modules_in_block_to_quantize", "modules_to_convert", "modules_to_not_convert",
    "module_name_preceding_first_block", "expert_dtype",
}  # fmt: skip
"""Which modules are packed: the tensors say it."""
_HOW_IT_WAS_MADE = {
    "act_group_aware", "adapter", "batch_size", "cache_block_outputs", "damp_auto_increment",
    "damp_percent", "dataset", "fmt", "global_compression_ratio", "has_zero_point",
    "is_checkpoint_fp8_serialized", "meta", "model_file_base_name", "model_name_or_path",
    "model_seqlen", "mse", "offload_to_disk", "offload_to_disk_path", "pad_token_id", "producer",
    "quantization_status", "scale_fmt", "scale_rounding", "static_groups", "sym", "tokenizer",
    "true_sequential", "rms_norm_eps",
}  # fmt: skip
"""How the numbers were found or what wrote them; the tensors hold what was found."""
_HOW_IT_RUNS_ELSEWHERE = {
    "activation_scale_ub", "activation_scheme", "backend", "dequantize", "disable_exllama", "do_fuse",
    "exllama_config", "fuse_max_seq_len", "is_marlin_format", "kv_cache_quant_algo",
    "kv_cache_scheme", "max_input_length", "modules_to_fuse", "pack_dtype", "run_compressed",
    "use_cuda_fp16", "use_exllama", "use_optimized_inference",
}  # fmt: skip
"""Which kernel would run it, and how that would round activations and caches."""
_OF_OTHERS = ("auto-round", "quark")
"""Methods whose packages write dozens of keys on how they trained; the tensors are of other methods' formats."""
_REMEDY = "give the model that was quantised, or one in a format that is read (docs/formats.md)"


_TABLES = ("config_groups", "dynamic", "sparsity_config", "transform_config")


def told_of(config: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """What a config says of a packing, {} where nothing; raises InvalidConfig for values of another form."""
    told = config.get("quantization_config") or config.get("compression_config") or {}
    if not isinstance(told, dict):
        raise InvalidConfig(f"{directory}: quantization_config is {str(told)[:40]!r}, no object")
    for key in _TABLES:
        if told.get(key) and not isinstance(told[key], dict):
            raise InvalidConfig(
                f"{directory}: quantization_config: {key} is {str(told[key])[:40]!r}, no object"
            )
    if not isinstance(told.get("quant_method"), str | None):
        raise InvalidConfig(
            f"{directory}: quantization_config: quant_method is {str(told['quant_method'])[:40]!r}, no name"
        )
    return told


def check_told(told: Mapping[str, Any], directory: Path) -> None:
    """Raise UnsupportedArchitecture for what a packing is said to do and is not read."""
    sparse = (told.get("sparsity_config") or {}).get("format", "dense")
    if sparse not in ("dense", None):
        raise UnsupportedArchitecture(
            f"{directory}: weights are sparse as {sparse!r}, which is not read; {_REMEDY}"
        )
    if told.get("transform_config"):
        raise UnsupportedArchitecture(
            f"{directory}: quantization_config has a transform_config: weights are rotated and "
            f"activations would have to be, which is not read; {_REMEDY}"
        )
    for module, changes in (told.get("dynamic") or {}).items():
        if not str(module).startswith("-:"):  # "-:" modules are not packed, which the tensors say
            raise UnsupportedArchitecture(
                f"{directory}: quantization_config gives {str(module)[:60]!r} settings of its own "
                f"({str(changes)[:60]}), which is not read; {_REMEDY}"
            )
    if told.get("quant_method") in _OF_OTHERS:
        return
    known = _READ | _WHAT_IS_PACKED | _HOW_IT_WAS_MADE | _HOW_IT_RUNS_ELSEWHERE
    for key in sorted(told.keys() - known):
        if told[key] not in (None, False, [], {}):
            raise UnsupportedArchitecture(
                f"{directory}: quantization_config: {key[:60]} = {str(told[key])[:60]} is no key that "
                f"is known; what it changes cannot be told; {_REMEDY}"
            )
