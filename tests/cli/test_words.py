"""The library names parameters, the command line the options of these names, and each only its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hnlpu
from hnlpu import errors
from hnlpu.cli._words import in_options, options

PACKAGE = Path(hnlpu.__file__).parent
DOOR = PACKAGE / "cli"
OTHER_TOOLS = {
    "_compilers.py": {"--version"},
    "silicon/rtl/_tools.py": {"--version"},
    "silicon/rtl/chip/_simulate.py": {"--trace"},
    "silicon/rtl/chip/_synthesize.py": {"--top"},
    "silicon/rtl/chip/_write.py": {"--trace"},
    "silicon/masks/_drc_script.py": {"--with-base"},
}
"""Options of compilers, Verilator and Yosys; and what a DRC script says to whoever runs it in KLayout."""
FIELDS = {"wide"}
"""Words in backquotes that are fields of data files."""


def sources() -> list[Path]:
    """The library: all but the door."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if DOOR not in path.parents]


def texts(tree: ast.AST) -> Iterator[str]:
    """All strings and parts of f-strings but docstrings and others that stand alone."""
    alone = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def errors_made(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of the exception types of `hnlpu.errors`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            kind = getattr(errors, node.func.id, None)
            if isinstance(kind, type) and issubclass(kind, errors.HnlpuError):
                yield node


def parts_before_names(path: Path) -> Iterator[str]:
    """Parts of an error's text that put dashes before a name: f"--{name}"."""
    for error in errors_made(ast.parse(path.read_text(encoding="utf-8"))):
        yield from (text for text in texts(error) if text.endswith("--"))


def test_the_library_names_no_option_of_the_command_line() -> None:
    known, found = set(options().values()), {}
    for path in sources():
        words = {
            word
            for text in texts(ast.parse(path.read_text(encoding="utf-8")))
            for word in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)
        }
        composed = {f"{text}..." for text in parts_before_names(path)}
        own = composed | words & known - OTHER_TOOLS.get(
            path.relative_to(PACKAGE).as_posix(), set()
        )
        if own:
            found[path.relative_to(PACKAGE).as_posix()] = sorted(own)
    assert found == {}


def test_every_parameter_that_an_error_names_is_an_option() -> None:
    """So no line of the command line is left with a name in backquotes."""
    named = set()
    for path in sources():
        for error in errors_made(ast.parse(path.read_text(encoding="utf-8"))):
            for text in texts(error):
                named |= set(re.findall(r"`([a-z][a-z0-9_]*)`", text))
    assert named - FIELDS <= options().keys()
    assert {"output", "requantize", "max_spread", "chips", "tokens", "liberty"} <= named


def test_parameters_become_options() -> None:
    assert in_options("choose another with `output`") == "choose another with --output"
    assert in_options("a smaller `max_spread`; `wide`") == "a smaller --max-spread; `wide`"
    assert in_options("`kv_bits` 7: `grid`") == "--kv-bits 7: --grid"
    plain = "nothing to say of `this one` or `/a/path`"
    assert in_options(plain) == plain
    assert {"masks_from": "--masks-from", "def": "--def", "output": "--output"}.items() <= (
        options().items()
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("masks", "BUILD", "-o", "CHECKPOINT"), "exists already; remove it or choose another with --output"),
        (("build", "CHECKPOINT", "-o", "NEW", "--revision", "x"), "has no revision; drop --revision"),
        (("verify", "BUILD", "--ray", "local"), "a cluster only checks the metal; add --masks"),
        (("masks", "BUILD", "-o", "BUILD/m"), "is in the build's own folder; choose another with --output"),
        (("rtl", "BUILD", "-o", "NEW", "--tile", "*", "--matrix", "*"), "--tile and --matrix: choose one"),
        (("generate", "BUILD", "--prompt", "x"), "give token ids with --tokens instead"),
    ],
)  # fmt: skip
def test_lines_of_the_command_line_name_options(
    words: tuple[str, ...], line: str, cli, tiny_checkpoint: Path, tiny_build: Path, tmp_path: Path
) -> None:
    places = {"CHECKPOINT": tiny_checkpoint, "BUILD": tiny_build, "NEW": tmp_path / "new",
              "BUILD/m": tiny_build / "m"}  # fmt: skip
    code, printed, said = cli(*(places.get(word, word) for word in words))
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert line in said
    assert "`" not in said


def test_what_verify_leaves_out_names_the_option(cli, tiny_build: Path, tmp_path: Path) -> None:
    import shutil

    alone = shutil.copytree(tiny_build, tmp_path / "alone")
    code, printed, _ = cli("verify", alone)
    assert code == 0
    assert "no build log to find it by; add --checkpoint" in printed
    assert "no build log to find it by; add --checkpoint" in cli("verify", alone, "--json")[1]
