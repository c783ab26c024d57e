"""Names and paths -> tables of the catalog."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TypeVar

from hnlpu._paths import absolute
from hnlpu.errors import InvalidInput
from hnlpu.quantities import DataTable, read_data
from hnlpu.system.catalog._model import ModelShape
from hnlpu.system.catalog._system import System

Table = TypeVar("Table", bound=DataTable)


def model_names() -> list[str]:
    """Models that come with hnlpu."""
    return _names("models")


def system_names() -> list[str]:
    """Systems that come with hnlpu."""
    return _names("systems")


def load_model(name: str) -> ModelShape:
    """A model by its name, or from the path of a TOML file.

    Raises InvalidInput for an unknown name, InvalidData for a malformed file (with the line).
    """
    return _load("models", "model", name, ModelShape)


def load_system(name: str) -> System:
    """A system by its name, or from the path of a TOML file.

    Raises InvalidInput for an unknown name, InvalidData for a malformed file (with the line).
    """
    return _load("systems", "system", name, System)


def _names(folder: str) -> list[str]:
    files = (resources.files("hnlpu.system.catalog") / folder).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def _load(folder: str, what: str, name: str, schema: type[Table]) -> Table:
    if name.lower().endswith(".toml"):
        return read_data(absolute(name), schema)
    if name not in _names(folder):
        raise InvalidInput(
            f"{what} {name!r} is unknown; there are {', '.join(_names(folder))}, "
            "or give the path of a .toml file"
        )
    with resources.as_file(
        resources.files("hnlpu.system.catalog") / folder / f"{name}.toml"
    ) as path:
        return read_data(Path(path), schema)
