"""What all requests have in common: null means not given, and unknown fields are told, not refused."""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

NAMES_LIMIT = 32
EXACT = 2**53  # up to here a double tells whole numbers apart
WARNING = "Warning"


class Wire(BaseModel):
    """A JSON object of the API: a field that is null is as good as left out."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    takes_any_field: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        whole = _whole_fields(cls)
        return {
            # 5.0 is a whole number in JSON
            key: int(value) if key in whole and _is_whole(value) else value
            for key, value in data.items()
            if value is not None
        }


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer() and abs(value) < EXACT


@functools.cache
def _whole_fields(kind: type[BaseModel]) -> frozenset[str]:
    """The fields of a request that are whole numbers."""
    return frozenset(name for name, field in kind.model_fields.items() if _is_int(field.annotation))


def _is_int(annotation: Any) -> bool:
    return annotation is int or any(map(_is_int, typing.get_args(annotation)[:2]))


def unknown_fields(body: Wire) -> list[str]:
    """Names of the fields that a request has and this server does not know, in their order."""
    return list(dict.fromkeys(_unknown(body, "")))


def _unknown(value: Any, before: str) -> Iterator[str]:
    if isinstance(value, Wire):
        for name in () if value.takes_any_field else value.model_extra or ():
            yield before + name
        for name, field in type(value).model_fields.items():
            yield from _unknown(getattr(value, name), f"{before}{field.alias or name}.")
    elif isinstance(value, list):
        for entry in value:
            yield from _unknown(entry, before)


def warning_header(unknown: list[str], *others: str) -> dict[str, str]:
    """The header that tells what of a request had no effect; empty where all had.

    RFC 9111 made `Warning` obsolete for caches; its form (RFC 7234, 5.5) is what clients log.
    """
    texts = list(others)
    if unknown:
        names = [_plain(name) for name in unknown[:NAMES_LIMIT]]
        more = f" and {len(unknown) - NAMES_LIMIT} more" if len(unknown) > NAMES_LIMIT else ""
        texts.append(f"fields not known here, without effect: {' '.join(names)}{more}")
    return {WARNING: ", ".join(f'299 hnlpu "{text}"' for text in texts)} if texts else {}


def _plain(name: str) -> str:
    """A client's word, fit for a header."""
    return re.sub(r"[^A-Za-z0-9_.\-]", "?", name)[:64]
