"""techniques.toml -> a tree of techniques whose leaves are commands of ours, or gaps with their reason."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from hnlpu.quantities import Contradiction, DataTable, Slug, Title, read_data


class Technique(DataTable):
    """A leaf: `command` (as typed behind `hnlpu`) does it, or `gap` says why nothing does."""

    name: Title
    command: Title | None = None
    gap: Title | None = None

    @model_validator(mode="after")
    def _one(self) -> Technique:
        if (self.command is None) == (self.gap is None):
            raise Contradiction(("name",), "give a command or a gap")
        return self


class Branch(DataTable):
    """Techniques of one kind."""

    name: Title
    leaves: Annotated[list[Technique], Field(min_length=1)]


class Techniques(DataTable):
    """The tree."""

    name: Slug
    branch: Annotated[list[Branch], Field(min_length=1)]


def load_techniques() -> Techniques:
    """The tree that comes with hnlpu."""
    with resources.as_file(resources.files("hnlpu.system.catalog") / "techniques.toml") as path:
        return read_data(Path(path), Techniques)
