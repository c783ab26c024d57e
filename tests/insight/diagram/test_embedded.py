"""A diagram holds its network: read again it is the same; what is damaged is refused in one line."""

from __future__ import annotations

import base64
import lzma
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from stacked import stacked

from hnlpu.errors import InvalidData, MalformedNetwork
from hnlpu.insight.diagram import draw, open_subject
from hnlpu.insight.diagram._embedded import metadata, network_in
from hnlpu.model.network import Network, dump
from network_samples import networks

SMALL = stacked([0, 5])
LIMIT = 2**24


@settings(max_examples=10, deadline=None)
@given(networks())
def test_a_diagram_gives_its_network_back(network: Network) -> None:
    text = draw(network, 'a "title" <metadata id="hnlpu-network">AAAA</metadata>')
    assert network_in(text, LIMIT) == network


def test_a_file_is_read_as_any_subject_is(tmp_path: Path) -> None:
    (tmp_path / "net.svg").write_text(draw(SMALL, "net"), "utf-8")
    subject = open_subject(tmp_path / "net.svg")
    assert (subject.network, subject.title) == (SMALL, "net")
    assert draw(subject.network, subject.title) == (tmp_path / "net.svg").read_text("utf-8")


def test_it_is_left_out_where_it_is_not_wanted() -> None:
    bare, whole = draw(SMALL, "x", embed=False), draw(SMALL, "x")
    assert "metadata" not in bare
    assert whole.replace(metadata(SMALL), "") == bare


def packed(text: bytes) -> str:
    data = base64.b64encode(lzma.compress(text)).decode()
    return f'<svg><metadata id="hnlpu-network">{data}</metadata></svg>'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<svg></svg>", "without a network"),
        (packed(b"{}") * 2, "without a network"),
        ('<metadata id="hnlpu-network">bm90IGFuIHh6IGZpbGU=</metadata>', "is damaged"),
        ('<metadata id="hnlpu-network">A</metadata>', "is damaged"),
        (packed(b"{}"), "not a network of format"),
        (packed(b" " * (LIMIT + 1)), "cut off, or above 16,777,216 bytes"),
        (re.sub(r".{8}</meta", "</meta", packed(dump(SMALL).encode())), "cut off"),
    ],
)
def test_what_is_no_network_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=says):
        network_in(text, LIMIT)


def test_a_network_that_breaks_a_rule_is_refused_with_the_file(tmp_path: Path) -> None:
    broken = replace(SMALL, steps=SMALL.steps[:-1])
    (tmp_path / "net.svg").write_text(packed(dump(broken).encode()), "utf-8")
    with pytest.raises(MalformedNetwork, match=r"net\.svg: "):
        open_subject(tmp_path / "net.svg")
