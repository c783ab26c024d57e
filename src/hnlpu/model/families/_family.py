"""What a family is, and how one is found by the `model_type`s that it names.

A file of this folder without an underscore holds one `FAMILY`; so does a file that a user gives,
and an installed package may name one as an entry point of the group `hnlpu.families`.
"""

from __future__ import annotations

import pkgutil
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from hnlpu.errors import InvalidInput, UnsupportedArchitecture
from hnlpu.model.families._config import Config, Settings, brief
from hnlpu.model.network import Network
from hnlpu.model.network.composites import check_composites

GROUP = "hnlpu.families"
Of = TypeVar("Of", bound=Settings)


@dataclass(frozen=True)
class Family(Generic[Of]):
    """Models of one kind: the values of `model_type`, what a config holds, and its network.

    The rest is for docs/families.md: what people call the `models`, which `reader` of others the tests
    hold it to, and the `gaps`, a sentence each, of what is refused beyond what the fields of the
    config say.
    """

    model_types: tuple[str, ...]
    config: type[Of]
    network: Callable[[Of], Network]
    models: str = ""
    reader: str = ""
    gaps: tuple[str, ...] = ()

    @property
    def of_text(self) -> bool:
        """Whether its networks make logits of tokens; others make numbers of signals."""
        return issubclass(self.config, Config)

    def read(self, values: Mapping[str, Any]) -> Network:
        """The network of a config.

        Raises InvalidConfig, UnsupportedArchitecture, or MalformedNetwork.
        """
        network = self.network(self.config.read(values))
        check_composites(network)
        return network


def open_family(path: Path) -> Family[Any]:
    """The `FAMILY` of a Python file, which is run; raises InvalidInput."""
    try:
        found = runpy.run_path(str(path)).get("FAMILY")
    except Exception as error:  # whatever a user's file raises
        raise InvalidInput(f"{path}: cannot be run ({type(error).__name__}: {error})") from error
    if not isinstance(found, Family):
        raise InvalidInput(f"{path}: has no FAMILY, which hnlpu.model.families.Family makes")
    return found


def families() -> dict[str, Family[Any]]:
    """All families by the model types that they name; raises InvalidInput for one that fails."""
    return _installed() | _ours()  # ours are not replaced in silence


def _ours() -> dict[str, Family[Any]]:
    package = __name__.rpartition(".")[0]
    folder = import_module(package).__path__
    found: dict[str, Family[Any]] = {}
    for module in pkgutil.iter_modules(folder):
        if not module.name.startswith("_"):
            family: Family[Any] = import_module(f"{package}.{module.name}").FAMILY
            found.update(dict.fromkeys(family.model_types, family))
    return found


def _installed() -> dict[str, Family[Any]]:
    found: dict[str, Family[Any]] = {}
    for entry in entry_points(group=GROUP):
        try:
            family = entry.load()
        except Exception as error:  # whatever a package raises
            raise InvalidInput(
                f"entry point {entry.name} of {GROUP}: {entry.value} cannot be loaded "
                f"({type(error).__name__}: {error}); repair or remove its package"
            ) from error
        if not isinstance(family, Family):
            raise InvalidInput(f"entry point {entry.name} of {GROUP}: {entry.value} is no Family")
        for model_type in family.model_types:
            found.setdefault(model_type, family)
    return found


def find_family(model_type: object) -> Family[Any]:
    """The family that names `model_type`; raises UnsupportedArchitecture.

    Packages are asked only for what we do not have: one that fails does no harm to the others.
    """
    known = _ours()
    if not isinstance(model_type, str) or model_type not in known:
        known = families()
    if not isinstance(model_type, str) or model_type not in known:
        raise UnsupportedArchitecture(
            f"model_type is {brief(model_type)}; supported: {', '.join(sorted(known))}"
        )
    return known[model_type]


def network_of(values: Mapping[str, Any]) -> Network:
    """The network of a config.json; raises InvalidConfig or UnsupportedArchitecture."""
    return find_family(values.get("model_type")).read(values)
