"""The text of a network is enough to rebuild it, and what is no network is told in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.errors import InvalidData, MalformedNetwork
from hnlpu.model.network import Network, check, dump, load
from network_samples import every_operation, networks


@settings(max_examples=20, deadline=None)
@given(networks())
def test_there_and_back(network: Network) -> None:
    text = dump(network)
    again = load(text)
    assert again == network
    assert dump(again) == text
    assert check(again) == check(network)


def test_the_text_is_one_object_with_a_line_per_step() -> None:
    network = every_operation()
    text = dump(network)
    assert len(json.loads(text)["steps"]) == len(network.steps)
    assert len(text.splitlines()) > len(network.steps) + len(network.matrices)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [path]
    if isinstance(value, dict):
        for key, part in value.items():
            found += places(part, (*path, key))
    if isinstance(value, list):
        for n, part in enumerate(value):
            found += places(part, (*path, n))
    return found


TEXT = dump(every_operation())
PLACES = [path for path in places(json.loads(TEXT)) if path]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(PLACES),
    st.sampled_from(["x", 1.5, 10**30, None, [], {}, {"is": "Add"}, [[1]], True, "remove", "more"]),
)
def test_any_part_replaced_is_a_network_or_one_line(path: tuple[Any, ...], new: Any) -> None:
    values = json.loads(TEXT)
    holder = values
    for key in path[:-1]:
        holder = holder[key]
    if new == "remove":
        del holder[path[-1]]
    elif new == "more" and isinstance(holder, dict):
        holder["more"] = 1
    else:
        holder[path[-1]] = new
    said = ""
    try:
        check(load(json.dumps(values)))
    except (InvalidData, MalformedNetwork) as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[]", "not a network of format 1"),
        ('{"format": 2}', "not a network of format 1"),
        ('{"format": 1}', "Network lacks family"),
        (TEXT.replace('"Lookup"', '"Look"', 1), "'Look' is none of"),
        (TEXT.replace('"table": "table"', '"tables": "table"', 1), "tables is no field of Lookup"),
        ("[" * 100000, "not valid JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(InvalidData, match=words):
        load(text)
