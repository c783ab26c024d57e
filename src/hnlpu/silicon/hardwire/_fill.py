"""Zeros behind the last input of a matrix, which make its rows whole blocks of 32: no weights, and no metal."""

from __future__ import annotations

from hnlpu.model.network import Network


def fill_of(network: Network) -> dict[str, int]:
    """How many of the numbers that a build counts of each matrix are such zeros."""
    return {m.name: m.count * m.rows * m.padding for m in network.matrices if m.padding}
