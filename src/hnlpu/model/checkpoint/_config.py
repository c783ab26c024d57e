"""config.json -> `Architecture`: the hyper-parameters of a gpt-oss model.

Both generations of the file are read: the original one (`rope_theta`,
`rope_scaling`, `initial_context_length`) and the one transformers 5 writes
(`rope_parameters` with theta inside).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import CheckpointNotFound, InvalidConfig, UnsupportedArchitecture
from hnlpu.model.families import SIZE_LIMIT, Rope, families, find_family, refusal

SUPPORTED = ("gpt_oss",)
SIZE_OF_FILE_LIMIT = 2**20

LayerType = Literal["sliding_attention", "full_attention"]
_frozen = ConfigDict(frozen=True, extra="ignore")


class Architecture(BaseModel):
    """Hyper-parameters of a gpt-oss model under the names of its config.json."""

    model_config = _frozen

    vocab_size: int = Field(ge=1, le=SIZE_LIMIT)
    hidden_size: int = Field(ge=BLOCK, le=SIZE_LIMIT)
    intermediate_size: int = Field(ge=BLOCK, le=SIZE_LIMIT)
    num_hidden_layers: int = Field(ge=1, le=1024)
    num_attention_heads: int = Field(ge=1, le=4096)
    num_key_value_heads: int = Field(ge=1, le=4096)
    head_dim: int = Field(ge=2, le=4096)
    num_local_experts: int = Field(ge=1, le=8192)
    num_experts_per_tok: int = Field(ge=1, le=8192)
    layer_types: tuple[LayerType, ...]
    sliding_window: int = Field(128, ge=1, le=2**31)
    max_position_embeddings: int = Field(131072, ge=1, le=2**31)
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    swiglu_alpha: float = Field(1.702, gt=0, le=1e3)
    swiglu_limit: float = Field(7.0, gt=0, le=1e6)
    attention_bias: bool = True
    tie_word_embeddings: bool = False
    eos_token_ids: tuple[int, ...] = ()
    rope: Rope

    @model_validator(mode="after")
    def _consistent(self) -> Architecture:
        for name in ("hidden_size", "intermediate_size"):
            if getattr(self, name) % BLOCK:
                raise ValueError(
                    f"{name} {getattr(self, name)} is not divisible by {BLOCK}, "
                    "the block that shares a scale"
                )
        if self.attention_width % BLOCK:
            raise ValueError(
                f"num_attention_heads * head_dim = {self.attention_width} is not divisible by {BLOCK}"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd; RoPE turns pairs")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.num_experts_per_tok > self.num_local_experts:
            raise ValueError(
                f"num_experts_per_tok {self.num_experts_per_tok} exceeds "
                f"num_local_experts {self.num_local_experts}"
            )
        if len(self.layer_types) != self.num_hidden_layers:
            raise ValueError(
                f"layer_types names {len(self.layer_types)} layers, "
                f"num_hidden_layers is {self.num_hidden_layers}"
            )
        return self

    @property
    def attention_width(self) -> int:
        """Width of all query heads together."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_value_width(self) -> int:
        """Width of all key (or value) heads together."""
        return self.num_key_value_heads * self.head_dim

    def window(self, layer: int) -> int | None:
        """Positions that `layer` attends to, or None for all of them."""
        return self.sliding_window if self.layer_types[layer] == "sliding_attention" else None


def read_architecture(directory: Path, what: str = "this") -> Architecture:
    """Read and check `directory`/config.json of gpt-oss, for `what` knows no other family.

    Raises CheckpointNotFound, UnsupportedArchitecture or InvalidConfig.
    """
    path = directory / "config.json"
    values = read_settings(path)
    if values is None:
        raise CheckpointNotFound(
            f"{directory}: no config.json; give the folder of a gpt-oss checkpoint"
        )
    return architecture_of(path, values, what)


def architecture_of(path: Path, values: dict[str, Any], what: str = "this") -> Architecture:
    """Check the values of a config.json at `path` of gpt-oss, beside its generation_config.json.

    Raises UnsupportedArchitecture or InvalidConfig, which name `path`.
    """
    values = dict(values)
    kind = values.get("model_type")
    if isinstance(kind, str) and kind not in SUPPORTED and kind in families():
        raise refusal(path, kind, what)
    if kind not in SUPPORTED:
        raise UnsupportedArchitecture(
            f"{path}: model_type is {kind!r}; supported: {', '.join(SUPPORTED)}"
        )
    if values.get("hidden_act", "silu") != "silu":
        raise UnsupportedArchitecture(
            f"{path}: hidden_act is {values['hidden_act']!r}; supported: silu"
        )
    _refuse_unknown_keys(path, values)
    generation = read_settings(path.with_name("generation_config.json"))
    if generation and generation.get("eos_token_id") is not None:
        # where both files name end tokens, this one is for generating (as in transformers)
        values["eos_token_id"] = generation["eos_token_id"]
    try:
        return Architecture.model_validate(_normalise(values))
    except ValidationError as error:
        raise InvalidConfig(f"{path}: {first_problem(error)}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidConfig(f"{path}: {error}") from None


def _refuse_unknown_keys(path: Path, values: dict[str, Any]) -> None:
    """Every key is read, or harmless for a reason: the family's own reader knows which."""
    try:
        find_family("gpt_oss").config.read(dict(values))
    except UnsupportedArchitecture as error:
        said = str(error).removeprefix("config.json: ")
        raise UnsupportedArchitecture(f"{path}: {said}") from None
    except InvalidConfig:
        pass  # said below, in the words of `Architecture`


def read_settings(path: Path) -> dict[str, Any] | None:
    """The JSON object in a settings file, or None without the file; raises InvalidConfig."""
    try:
        size = path.stat().st_size
        if size > SIZE_OF_FILE_LIMIT:
            raise InvalidConfig(f"{path}: {size} bytes; a model's settings have a few kilobytes")
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidConfig(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{path}: not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise InvalidConfig(f"{path}: not a JSON object")
    return values


def first_problem(error: ValidationError) -> str:
    """The first complaint of a pydantic error as `key: what is wrong`."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    text = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


def _normalise(values: dict[str, Any]) -> dict[str, Any]:
    """Bring both generations of config.json to the fields of `Architecture`."""
    known = {k: v for k, v in values.items() if v is not None}
    known.setdefault("num_local_experts", known.get("num_experts"))
    known.setdefault("num_experts_per_tok", known.get("experts_per_token"))
    if known.get("layer_types") is None and isinstance(known.get("num_hidden_layers"), int):
        count = min(known["num_hidden_layers"], 1024)
        known["layer_types"] = [
            "full_attention" if i % 2 else "sliding_attention" for i in range(count)
        ]
    if "head_dim" not in known:
        heads, hidden = known.get("num_attention_heads"), known.get("hidden_size")
        if isinstance(heads, int) and isinstance(hidden, int) and heads > 0:
            known["head_dim"] = hidden // heads
    eos = known.get("eos_token_id", [])
    known["eos_token_ids"] = eos if isinstance(eos, list) else [eos]
    known["rope"] = _rope(known)
    return {k: v for k, v in known.items() if v is not None}


def _rope(values: dict[str, Any]) -> dict[str, Any]:
    given = values.get("rope_parameters", values.get("rope_scaling"))
    if given is None:
        # transformers fills a missing dictionary with gpt-oss's own YaRN
        given = {
            "rope_type": "yarn", "truncate": False, "factor": 32.0,
            "original_max_position_embeddings": 4096,
        }  # fmt: skip
    if not isinstance(given, dict):
        raise TypeError(f"rope parameters are a {type(given).__name__}, not an object")
    rope = {k: v for k, v in given.items() if v is not None}
    rope.setdefault("rope_type", rope.pop("type", "default"))
    rope.setdefault("rope_theta", values.get("rope_theta", 150000.0))
    if "mscale" in rope or "mscale_all_dim" in rope:
        raise ValueError("rope parameters with mscale are not supported")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("partial rotary embeddings are not supported")
    for key in ("factor", "original_max_position_embeddings"):
        if rope["rope_type"] == "yarn" and key not in rope:
            raise ValueError(f"the rope parameters lack {key}, which YaRN needs")
    return rope
