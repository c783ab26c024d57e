"""docs/networks.md: its tables are those of today's families, its code runs."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest

from hnlpu.errors import MalformedNetwork
from hnlpu.model.network import check, composites, ops
from hnlpu.model.network._check import place_of
from network_samples import every_operation

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "networks.md").read_text("utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "network_tables", ROOT / "scripts" / "network_tables.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        spec.loader.exec_module(module)
    return module


def test_the_drawings_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name, text in importlib.import_module("network_images").pictures().items():
        assert (ROOT / "docs/images" / name).read_text("utf-8") == text, (
            "run python scripts/network_images.py"
        )
        assert len(text) < 50_000
        assert f"images/{name}" in PAGE


def test_the_tables_are_up_to_date(script: ModuleType) -> None:
    assert script.page(PAGE) == PAGE, "run python scripts/network_tables.py"
    assert f"closed: {len(get_args(ops.Op))} operations" in PAGE


def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    first, family = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(first, "networks.md", "exec"), {})
    assert capsys.readouterr().out == "44 steps, 5 matrices, 2 states\n"
    names: dict[str, Any] = {}
    exec(compile(family, "networks.md", "exec"), names)
    config = {"model_type": "mine", "vocab_size": 9, "hidden_size": 40, "num_hidden_layers": 3}
    network = names["FAMILY"].read(config)
    assert len(network.states) == 3


def test_composites_of_the_page_are_there() -> None:
    (text,) = re.findall(r"writes steps:(.*?) and more", PAGE, re.DOTALL)
    named = re.findall(r"`(\w+)`", text)
    assert len(named) > 10
    assert set(named) <= set(composites.__all__)


def test_the_message_of_the_page_is_what_the_checker_says() -> None:
    network = every_operation()
    steps = list(network.steps)
    n = next(n for n, step in enumerate(steps) if isinstance(step.op, ops.TopK))
    steps[n] = type(steps[n])(ops.TopK(99), steps[n].args, steps[n].outs, steps[n].block)
    broken = type(network)(**{**network.__dict__, "steps": tuple(steps)})
    with pytest.raises(MalformedNetwork) as refused:
        check(broken)
    assert f"    {refused.value}\n" in PAGE
    assert str(refused.value).startswith(place_of(n, steps[n]))
