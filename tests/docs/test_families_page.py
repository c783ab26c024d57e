"""docs/families.md: what it says of families is what they and their tests say today."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hnlpu.errors import HnlpuError
from hnlpu.model.families import families
from readers import CONFIGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "families.md").read_text("utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "family_tables.py"
    spec = importlib.util.spec_from_file_location("family_tables", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date(script: ModuleType) -> None:
    assert script.page(PAGE) == PAGE, "run python scripts/family_tables.py"


def test_every_family_is_on_the_page() -> None:
    for name in families():
        assert f"| `{name}` |" in PAGE


def test_promises_are_tests_of_every_family(script: ModuleType) -> None:
    """Each named test is there and takes a family (`name` where others come along)."""
    for test in script.PROMISES.values():
        file, _, function = test.partition("::")
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        (found,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
        assert {"family", "name"} & {argument.arg for argument in found.args.args}, test
        decorators = " ".join(ast.unparse(d) for d in found.decorator_list)
        assert any(word in decorators for word in ("FAMILIES", "EVERY", "NAMES")), test


def test_keys_that_are_said_to_be_refused_are(script: ModuleType) -> None:
    """A key that the reader has and the page calls refused ends in its name."""
    for name, family in script.known():
        config = CONFIGS[name](np.random.default_rng(0))
        for key, value in script.keys_not_read(name, family).items():
            with pytest.raises(HnlpuError, match=key):
                family.read(config | {key: value})
