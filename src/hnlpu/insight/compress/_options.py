"""What every step of a recipe shares: options by name, and a decision on a model and a text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from hnlpu.insight.compress._subject import Subject
from hnlpu.model.edit import Edit


@dataclass(frozen=True)
class Decision:
    """What a step does to a model, and lines that say why."""

    edit: Edit
    lines: Sequence[str]


class StepOptions(BaseModel, ABC):
    """Options of a step, which its name finds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def check(self, subject: Subject) -> None:
        """Refuse a family that the step cannot change: by default, one whose layers are all of one size."""
        subject.expect_sizes_that_differ()

    @abstractmethod
    def decide(self, subject: Subject) -> Decision:
        """What it does to a model; raises InvalidInput or UnsupportedArchitecture."""
