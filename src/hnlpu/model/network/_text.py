"""A network as JSON and back: `load(dump(network)) == network`.

Every dataclass becomes an object with its fields; where one of several may stand (an operation, a
source, what a state keeps), `is` says which.  Nothing is left out, so that the text is enough to
rebuild the network.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from hnlpu.errors import InvalidData
from hnlpu.model.network import _declare, _form, _source, _types, ops
from hnlpu.model.network._form import Network

FORMAT = 1
_NAMES = {k: v for m in (_types, _source, _declare, _form, ops) for k, v in vars(m).items()}


def dump(network: Network) -> str:
    """The text of a network: a line for each declaration and each step."""
    fields = _encoded(network)
    lines = [f'{{"format": {FORMAT}']
    for name, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in value)
            lines.append(f'"{name}": [\n  {rows}\n]')
        else:
            lines.append(f'"{name}": {json.dumps(value, allow_nan=False)}')
    return ",\n".join(lines) + "}\n"


def load(text: str | bytes) -> Network:
    """The network of a text; raises InvalidData where it is not one.  It is not checked."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"network: not valid JSON ({error})") from None
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise InvalidData(f"network: not a network of format {FORMAT}")
    network = _decoded(values, Network, "network")
    assert isinstance(network, Network)
    return network


def _encoded(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _encoded(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Network) and not value.left_out:
            del fields["left_out"]  # texts of networks without it stay as they were
        return fields if type(value) in _ALONE else {"is": type(value).__name__, **fields}
    return [_encoded(part) for part in value] if isinstance(value, tuple) else value


_ALONE = (Network, _form.Span, ops.Step, _declare.Input, _declare.Cut, _declare.Matrix,
          _declare.Parameter, _declare.State, _declare.LeftOut)  # fmt: skip
"""Classes that stand where no other may."""


@functools.cache
def _hints(of: type) -> Mapping[str, Any]:
    return typing.get_type_hints(of, _NAMES)


def _decoded(value: Any, hint: Any, place: str) -> Any:
    """`value` of JSON as the type `hint`; raises InvalidData with the place."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(value, choices, place)
    if origin is Literal:
        if value in choices and isinstance(value, str):
            return value
    elif origin is tuple:
        if isinstance(value, list):
            return _entries(value, choices, place)
    elif dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return _object(value, hint, place)
    elif hint is float and type(value) is int:
        return float(value)
    elif type(value) is hint:
        return value
    raise InvalidData(f"{place}: {json.dumps(value)[:60]} is not what belongs here")


def _entries(value: list[Any], choices: tuple[Any, ...], place: str) -> tuple[Any, ...]:
    each = choices[:1] * len(value) if choices[-1:] == (Ellipsis,) else choices
    if len(each) != len(value):
        raise InvalidData(f"{place}: {len(value)} entries; {len(each)} belong here")
    return tuple(
        _decoded(part, hint, f"{place}.{n}")
        for n, (part, hint) in enumerate(zip(value, each, strict=True))
    )


def _one_of(value: Any, choices: tuple[Any, ...], place: str) -> Any:
    classes = {
        c.__name__: c for c in choices if isinstance(c, type) and dataclasses.is_dataclass(c)
    }
    if isinstance(value, dict):
        name = value.get("is", next(iter(classes), None) if len(classes) == 1 else None)
        if isinstance(name, str) and name in classes:
            return _object(value, classes[name], place)
        raise InvalidData(f"{place}: {name!r} is none of {', '.join(sorted(classes))}")
    for hint in choices:  # exact ones first: 1 is a length, not the number 1.0
        if (value is None and hint is types.NoneType) or type(value) is hint:
            return value
    others = [
        hint for hint in choices if hint is not types.NoneType and hint not in classes.values()
    ]
    for hint in others:
        try:
            return _decoded(value, hint, place)
        except InvalidData:
            if hint is others[-1]:
                raise
    raise InvalidData(f"{place}: {json.dumps(value)[:60]} is not what belongs here")


def _object(value: Any, of: type, place: str) -> Any:
    if not isinstance(value, dict):
        raise InvalidData(f"{place}: not an object")
    if value.get("is", of.__name__) != of.__name__:
        raise InvalidData(f"{place}: {value['is']!r} is not {of.__name__}")
    given = {name: part for name, part in value.items() if name != "is"}
    hints = {field.name: _hints(of)[field.name] for field in dataclasses.fields(of)}
    for name in given:
        if name not in hints:
            raise InvalidData(f"{place}: {name} is no field of {of.__name__}")
    for field in dataclasses.fields(of):
        needed = field.default is dataclasses.MISSING
        if needed and field.name not in given:
            raise InvalidData(f"{place}: {of.__name__} lacks {field.name}")
    return of(
        **{name: _decoded(part, hints[name], f"{place}.{name}") for name, part in given.items()}
    )
