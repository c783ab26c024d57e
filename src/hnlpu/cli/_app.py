"""The application; each command stands in a file of its name, thin: options in, a verb of the API, its result out."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from hnlpu._version import __version__

app = typer.Typer(
    name="hnlpu",
    help="Hardwire a language model: from a checkpoint to metal-embedding digits that talk.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        print(f"hnlpu {__version__}")  # noqa: T201  this is what was asked for
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Hardwire a language model: from a checkpoint to metal-embedding digits that talk."""
    if context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201  nothing was asked: show what can be


_IN_FILES_OF_THEIR_OWN = (
    "build", "verify", "sensitivity", "compress", "generate", "chat", "score", "run", "serve", "adapter", "draw",
    "report", "masks", "rtl", "chip", "design", "machine", "cost", "sweep", "chart", "index", "audit",
    "explore", "catalog", "doctor", "demo",
)  # fmt: skip
"""In the order of help; each adds its commands."""

for _name in _IN_FILES_OF_THEIR_OWN:
    import_module(f"hnlpu.cli._{_name}")

app.command("schema")(import_module("hnlpu.cli._schema").schema)
