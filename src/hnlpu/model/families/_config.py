"""Reading a config: every key is a field, or harmless for a reason, or refused by name.

A family's config is a subclass of `Config` (tokens in, logits out) or of `SignalConfig` (numbers in,
numbers out), whose fields have the names of the file's keys.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from hnlpu.errors import InvalidConfig, UnsupportedArchitecture

SIZE_LIMIT = 2**24  # no dimension of a real model comes near; keeps arithmetic on sizes sane

HARMLESS: dict[str, str] = {
    "_name_or_path": "where it was loaded from",
    "architectures": "the class of another library that reads it",
    "attention_dropout": "dropout: training only",
    "auto_map": "classes of another library that read it",
    "bos_token_id": "the tokenizer puts it before a text",
    "cache_implementation": "how another library keeps keys and values",
    "chunk_size_feed_forward": "how another library saves memory",
    "dtype": "the tensors say their own",
    "embd_pdrop": "dropout: training only",
    "eos_token_id": "ends a text: no step of the network",
    "id2label": "names of classes: training only",
    "initializer_range": "first values: training only",
    "is_llama_config": "what the file is",
    "label2id": "names of classes: training only",
    "max_length": "how long another library lets it talk",
    "model_type": "found the family",
    "output_attentions": "what another library returns beside logits",
    "output_hidden_states": "what another library returns beside logits",
    "output_router_logits": "what another library returns beside logits",
    "pad_token_id": "padding: no text holds it",
    "pretraining_tp": "how it was trained",
    "problem_type": "training only",
    "quantization_config": "the tensors say how they are stored",
    "resid_pdrop": "dropout: training only",
    "return_dict": "how another library returns values",
    "router_aux_loss_coef": "a loss: training only",
    "router_jitter_noise": "noise: training only",
    "torch_dtype": "the tensors say their own",
    "transformers.js_config": "how another library loads it",
    "transformers_version": "who wrote the file",
    "use_cache": "how another library keeps keys and values",
}
"""Keys that change no output, with the reason; a family may name more."""


Task = Literal["classify", "regress", "stream"]
"""What a network of signals answers.

classify  the number of the largest output at a sequence's last position
regress   the outputs at its last position
stream    the outputs at every position
"""


class Settings(BaseModel):
    """What all configs share: frozen, with no other keys than their fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    harmless: ClassVar[Mapping[str, str]] = {}
    defaults: ClassVar[Mapping[str, Any]] = {}
    """What holds where the file is silent, for keys that `normalise` reads; null is not silent."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """A config.json; raises InvalidConfig, UnsupportedArchitecture for a key it cannot mind."""
        of_null = {k for k, field in cls.model_fields.items() if _null_says_something(field)}
        silent = {k: v for k, v in cls.defaults.items() if k not in values}
        given = {k: v for k, v in values.items() if v is not None or k in of_null}
        given = cls.normalise({**silent, **given})
        given = {k: v for k, v in given.items() if k not in HARMLESS and k not in cls.harmless}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _first_problem(error, brief(values.get("model_type"))) from None

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Bring older forms of the file to the fields; raises InvalidConfig."""
        return values


class Config(Settings):
    """Base of the configs of language models."""

    vocab_size: int = Field(ge=1, le=SIZE_LIMIT)
    hidden_size: int = Field(ge=1, le=SIZE_LIMIT)
    num_hidden_layers: int = Field(ge=1, le=1024)
    tie_word_embeddings: bool = False
    is_encoder_decoder: Literal[False] = False
    max_position_embeddings: int | None = Field(None, ge=1, le=2**31)


class SignalConfig(Settings):
    """Base of the configs of networks of signals: `input_size` numbers in, `output_size` out."""

    input_size: int = Field(ge=1, le=SIZE_LIMIT)
    hidden_size: int = Field(ge=1, le=SIZE_LIMIT)
    output_size: int = Field(ge=1, le=SIZE_LIMIT)
    num_hidden_layers: int = Field(1, ge=1, le=1024)
    task: Task


def expect_a_type_per_layer(types: Sequence[str], layers: int) -> None:
    """Raise ValueError where `layer_types` names another number of layers than there are."""
    if len(types) != layers:
        raise ValueError(f"layer_types names {len(types)} layers, num_hidden_layers is {layers}")


def _null_says_something(field: FieldInfo) -> bool:
    """Whether null is a value of its own: it is allowed, and not what silence means."""
    return field.default is not None and NoneType in get_args(field.annotation)


def brief(value: object) -> str:
    """A value as Python writes it, cut where it is long."""
    return reprlib.repr(value)


def _first_problem(error: ValidationError, family: str) -> InvalidConfig | UnsupportedArchitecture:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return UnsupportedArchitecture(
            f"config.json: {where} = {brief(problem['input'])} is no key that {family} is known to have; "
            "what it changes cannot be told"
        )
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "literal_error":
        return UnsupportedArchitecture(f"config.json: {where} is {brief(problem['input'])}; {text}")
    return InvalidConfig(f"config.json: {where}: {text}" if where else f"config.json: {text}")
