"""What a user names -> the network to draw: a build, a checkpoint, its config.json, a text form, a diagram."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hnlpu._paths import absolute
from hnlpu.errors import (
    CheckpointNotFound,
    InvalidConfig,
    InvalidData,
    InvalidInput,
    MalformedNetwork,
    UnsupportedArchitecture,
)
from hnlpu.insight.diagram._embedded import network_in
from hnlpu.model.checkpoint import read_network
from hnlpu.model.families import network_of
from hnlpu.model.network import Network, check, load
from hnlpu.silicon.hardwire import MANIFEST, Build, open_build

SIZE_LIMIT = 2**28
"""Bytes of a file that is read: the text form of the largest models has a few million."""


@dataclass(frozen=True)
class DiagramSubject:
    """A network with its name; `notes` are what a build knows of its matrices."""

    network: Network
    title: str
    notes: Mapping[str, str] = field(default_factory=dict)


def open_subject(path: str | Path) -> DiagramSubject:
    """The network of a build directory, checkpoint, config.json, text form or diagram.

    Raises CheckpointNotFound, InvalidInput, InvalidConfig, UnsupportedArchitecture, InvalidData,
    MalformedNetwork, and the errors of opening a build.
    """
    place = absolute(path)
    if not place.exists():
        raise CheckpointNotFound(f"{path}: no such file or folder")
    if (place / MANIFEST).exists():
        return build_subject(open_build(place))
    if place.is_dir():
        if not (place / "config.json").exists():
            raise CheckpointNotFound(
                f"{path}: holds neither config.json nor {MANIFEST}; give a checkpoint, a build "
                "directory, a config.json, or the text form or diagram of a network"
            )
        return DiagramSubject(_config_network(place / "config.json"), place.name)
    if place.suffix.lower() in (".gguf", ".onnx"):
        return DiagramSubject(read_network(place), place.stem)
    if place.suffix.lower() == ".svg":
        with _of(place):
            network = network_in(_bytes(place).decode("utf-8", "replace"), SIZE_LIMIT)
            check(network)
        return DiagramSubject(network, place.stem)
    values = _read(place)
    if "format" in values or "steps" in values:
        with _of(place):
            network = load(json.dumps(values))
            check(network)
        return DiagramSubject(network, place.stem)
    name = place.parent.name if place.name == "config.json" else place.stem
    return DiagramSubject(_config_network(place), name or place.stem)


def build_subject(build: Build) -> DiagramSubject:
    """The network of a build, with the digits of its matrices."""
    manifest = build.manifest
    notes = {
        name: f"{matrix.metal_digits} digit{'s' * (matrix.metal_digits != 1)}"
        for name, matrix in manifest.matrices.items()
    }
    return DiagramSubject(build.network, build.directory.name, notes)


def _config_network(path: Path) -> Network:
    values = _read(path)
    with _of(path):
        return network_of(values)


def _read(path: Path) -> dict[str, Any]:
    """The JSON object of a file; raises InvalidInput."""
    try:
        values = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise InvalidInput(
            f"{path}: not a JSON object; give a config.json or a network's text form"
        )
    return values


def _bytes(path: Path) -> bytes:
    """What a file holds; raises InvalidInput."""
    try:
        size = path.stat().st_size
        if size > SIZE_LIMIT:
            raise InvalidInput(f"{path}: {size:,} bytes; a network has at most {SIZE_LIMIT:,}")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from None


@contextmanager
def _of(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except MalformedNetwork as error:
        raise MalformedNetwork(error.rule, f"{path}: {error}") from None
    except (InvalidConfig, InvalidData, UnsupportedArchitecture) as error:
        text = str(error).removeprefix("config.json: ")
        raise type(error)(f"{path}: {text}") from None
