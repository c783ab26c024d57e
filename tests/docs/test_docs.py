"""The documentation says what the code does."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from hnlpu.arithmetic import golden
from hnlpu.arithmetic.mx import pack
from hnlpu.cli._app import app
from hnlpu.run.emulate import integer_sums, quantize_activations
from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, row_facts

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_row_by_hand():
    text = (DOCS / "arithmetic.md").read_text()
    codes = [*range(16), *range(16), *[3] * 16, *[12] * 16]
    exponents = [126, 124]
    b = golden.row_exponent([codes], [exponents])
    x, s = golden.quantize_activations([(i - 31.5) / 16 for i in range(64)], 8)
    weights = [golden.integer_weight([c], [exponents[i // 32]], b) for i, c in enumerate(codes)]
    y_int = golden.neuron(weights, x)
    assert (b, s, x) == (124, -6, [4 * i - 126 for i in range(64)])
    assert f"**{y_int}**" in text
    assert f"**{float(golden.output(y_int, b, s))}**" in text
    bound = sum(map(abs, weights)) * 128
    assert f"688 * 128 = {bound}" in text
    assert f"**{bound.bit_length() + 1}** bits" in text
    digit = Digit(pack(np.array([codes], np.uint8)), np.array([exponents], np.uint8))
    row = HardwiredMatrix((digit,), row_facts((digit,)).row_exponents, None)
    ramp = ((np.arange(64) - 31.5) / 16).astype(np.float32)[None]
    assert integer_sums(row, quantize_activations(ramp, 8)[0]).tolist() == [[y_int]]


def test_code_in_the_docs_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "arithmetic.md").read_text(), re.DOTALL)
    exec(compile(code, "arithmetic.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "[[-13.5]]"


def commands():
    return get_command(app).commands


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_is_documented(name):
    text = (DOCS / "commands.md").read_text()
    section = text.split(f"## hnlpu {name}")[1].split("\n## ")[0]
    for parameter in commands()[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option not in ("--json", "--help"):
                assert f"`{option}" in section, option


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")]))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
