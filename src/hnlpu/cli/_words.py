"""The library's words -> the command line's: a parameter named in a message becomes its option.

... choose another with `output`     ──►     ... choose another with --output
"""

from __future__ import annotations

import functools
import re
from typing import Any

_OTHERS = {
    "timeout_seconds": "--timeout", "rate_per_minute": "--rate-limit", "max_body_bytes": "--max-body-mb",
    "stored_bytes": "--stored-mb", "cache_bytes": "--cache-mb",
}  # fmt: skip
"""Parameters whose option has another name, for it takes another unit."""

_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)`")


def in_options(text: str) -> str:
    """`text` with every parameter in backquotes as the option of its name; others stay as they are."""
    if "`" not in text:
        return text
    return _PARAMETER.sub(lambda found: options().get(found[1], found[0]), text)


@functools.cache
def options() -> dict[str, str]:
    """The long options of all commands by parameter: "max_spread" -> "--max-spread"."""
    import typer

    from hnlpu.cli._app import app

    found = dict(_OTHERS)
    commands: list[Any] = [typer.main.get_command(app)]
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        for option in (name for each in command.params for name in each.opts):
            if option.startswith("--"):
                found[option[2:].replace("-", "_")] = option
    return found
