"""How rules are told: by name, and with the place where one is broken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hnlpu.errors import MalformedNetwork

LEGAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@contextmanager
def at(place: str) -> Iterator[None]:
    """Puts the place in front of what a broken rule says."""
    try:
        yield
    except MalformedNetwork as error:
        raise MalformedNetwork(error.rule, f"{place}: {error}") from None


def refuse_if(broken: bool, rule: str, message: str) -> None:
    """Raise MalformedNetwork where a rule is broken."""
    if broken:
        raise MalformedNetwork(rule, message)
