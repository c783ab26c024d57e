"""What a user names -> a model and its weights: of the catalog, a build, a checkpoint, a config.json, the Hub.

The one reader of all commands: `design`, `simulate`, `cost`, `audit` and `explore`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from hnlpu._paths import absolute
from hnlpu.errors import CheckpointNotFound, InvalidInput
from hnlpu.model.checkpoint import gguf_files, is_hub_id, locate_config, read_network
from hnlpu.silicon.hardwire import MANIFEST
from hnlpu.system.catalog import (
    NetworkShape,
    load_model,
    model_names,
    shape_of_network,
    system_names,
)
from hnlpu.system.cost import CostSubject, subject_of_directory, subject_of_model


@dataclass(frozen=True)
class NamedModel:
    """A model with its weights; `place` is where it lies (a folder or a Hub id), None in the catalog.

    `build` is its build directory, None where it is not built.
    """

    subject: CostSubject
    place: str | None = None
    build: Path | None = None


def open_named(what: str, weights: str | None = None) -> NamedModel:
    """The model that `what` names: a name of the catalog, a .toml file, a build, a checkpoint folder, a
    config.json, a GGUF file, of which the metadata alone is read, or a Hub id, of which config.json is.

    `weights` is the way in which its bits are counted (default: as stored for a model of the catalog, the
    digits of a build, `two-digits` for a checkpoint).  Raises InvalidInput, CheckpointNotFound, and the errors
    of reading each.
    """
    if what in system_names() or _describes_a_system(what):
        raise InvalidInput(
            f"{what}: is a system, and a model is wanted here; give a name of the catalog ({_models()}), a "
            "build, a checkpoint or a Hub id"
        )
    if what in model_names() or what.lower().endswith(".toml"):
        return NamedModel(subject_of_model(load_model(what), weights or "stored"))
    path = absolute(what)
    if not (path / "config.json").exists() and not (path / MANIFEST).exists() and gguf_files(path):
        name = path.stem if path.is_file() else path.name
        return NamedModel(_of_config(path, name, weights), str(path))
    if path.is_dir():
        build = path if (path / MANIFEST).exists() else None
        if build is None and not (path / "config.json").exists():
            raise InvalidInput(
                f"{what}: not a build and not a checkpoint, it holds neither {MANIFEST} nor config.json nor "
                "a model in GGUF; make a build with 'hnlpu build'"
            )
        return NamedModel(subject_of_directory(path, weights), str(path), build)
    if path.is_file():
        if path.name != "config.json":
            raise InvalidInput(
                f"{what}: not a model; give a name of the catalog, a .toml file, a build, a checkpoint "
                "folder, its config.json, a GGUF file, or a Hub id"
            )
        return NamedModel(_of_config(path.parent, path.parent.name, weights), str(path))
    if is_hub_id(what):
        try:
            folder = locate_config(what)
        except CheckpointNotFound as error:
            raise InvalidInput(f"{error}; models of the catalog are {_models()}") from None
        return NamedModel(_of_config(folder, what.partition("/")[2], weights), what)
    raise InvalidInput(
        f"{what}: no such system, model, folder or file; systems are {', '.join(system_names())}; models are "
        f"{_models()}; or give a build, a checkpoint or a Hub id"
    )


def _describes_a_system(what: str) -> bool:
    """Whether it is a .toml file of a system: one with a die."""
    if not what.lower().endswith(".toml"):
        return False
    try:
        return "die" in tomllib.loads(absolute(what).read_text("utf-8"))
    except (OSError, ValueError):
        return False  # reading it as a model says what is wrong


def renamed(named: NamedModel, name: str) -> NamedModel:
    """The same model under the name that a file has for it."""
    shape = named.subject.shape
    if not isinstance(shape, NetworkShape) or shape.name == name:
        return named
    return replace(named, subject=replace(named.subject, shape=replace(shape, name=name)))


def _models() -> str:
    return ", ".join(model_names())


def _of_config(folder: Path, name: str, weights: str | None) -> CostSubject:
    return subject_of_model(shape_of_network(read_network(folder), name), weights or "two-digits")
