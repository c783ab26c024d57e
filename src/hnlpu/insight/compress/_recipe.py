"""A recipe: steps in their order, from a TOML file or from the command line.

[[step]]
name = "finercut"
remove = 2

[[step]]
name = "round"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hnlpu.errors import InvalidInput
from hnlpu.insight.compress._amp import Amp
from hnlpu.insight.compress._experts import ExpertPruning
from hnlpu.insight.compress._finercut import FinerCut
from hnlpu.insight.compress._heal import Heal
from hnlpu.insight.compress._options import StepOptions
from hnlpu.insight.compress._round import Round

STEPS: Mapping[str, type[StepOptions]] = {
    "finercut": FinerCut, "amp": Amp, "experts": ExpertPruning, "round": Round, "heal": Heal,
}  # fmt: skip
"""Steps by name."""


def read_recipe(path: Path) -> list[StepOptions]:
    """The steps of a file; raises InvalidInput."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: is no TOML ({error})") from None
    steps = values.pop("step", None)
    if values or not isinstance(steps, list) or not steps:
        raise InvalidInput(f"{path}: a recipe has tables [[step]], at least one, and nothing else")
    return [_step(step, f"{path}: step {n}") for n, step in enumerate(steps, 1)]


def parse_steps(given: Sequence[str]) -> list[StepOptions]:
    """Steps as NAME or NAME:KEY=VALUE,KEY=VALUE; lists are written a+b.  Raises InvalidInput."""
    found = []
    for text in given:
        name, _, options = text.partition(":")
        values: dict[str, Any] = {"name": name}
        for option in filter(None, options.split(",")):
            key, equals, value = option.partition("=")
            if not equals:
                raise InvalidInput(f"step {text}: {option}: write KEY=VALUE")
            if key in values:
                raise InvalidInput(f"step {text}: {key} is given twice")
            values[key] = _value(value)
        found.append(_step(values, f"step {text}"))
    return found


def _value(text: str) -> Any:
    if "+" in text:
        return text.split("+")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _step(values: Any, where: str) -> StepOptions:
    name = values.get("name") if isinstance(values, dict) else None
    if not isinstance(name, str) or name not in STEPS:
        raise InvalidInput(f"{where}: {name!r} is no step; there are {', '.join(STEPS)}")
    listed = {
        k: [v] if k in ("of", "matrices") and isinstance(v, str) else v for k, v in values.items()
    }
    try:
        return STEPS[name].model_validate(listed)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = ", ".join(k for k in STEPS[name].model_fields if k != "name")
            reason = f"{name} has no such option; it has {known}"
        raise InvalidInput(f"{where}: {key}: {reason}" if key else f"{where}: {reason}") from None
