"""Whole chips of other networks than gpt-oss in Verilator give the emulator's tokens.

Random ones here, as small as they can be; trained ones by `python benchmarks/chip_silicon.py tokens`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from moved_networks import CONFIG, MOVED, family
from network_chips import TINY, build_random
from rtl_arrays import needs

from hnlpu.insight.verify import check_chip
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip import build_chip, chip_shape, write_chip
from hnlpu.silicon.rtl.chip._write import bench_options


def small(name: str, folder: Path, seed: int) -> Build:
    """Of a family, or of none: a network that uses every unit but those of attention and experts."""
    if name in TINY:
        return build_random(name, folder, seed, **TINY[name])
    return build_random(CONFIG, folder, seed, family(MOVED[name]))


LANES = {"everything": 4, "mamba2": 4}
PROMPTS = [[5], [3, 4, 5, 6, 7], [9] * 12, [13, 19, 1, 0]]


@needs("verilator", "c++")
@pytest.mark.parametrize("name", [*TINY, "everything"])
def test_small_chips_give_the_emulators_tokens(name: str, tmp_path: Path) -> None:
    build = small(name, tmp_path, 0)
    shape = chip_shape(build, lanes=LANES.get(name, 8), context=24, sequences=2)
    chip = tmp_path / "rtl"
    write_chip(build, chip, shape)
    options = bench_options("-O0")
    (chip / "bench" / "chip.f").write_text("".join(f"{line}\n" for line in options))
    build_chip(chip)
    for temperature in (0.0, 1.0):
        found = check_chip(
            build, chip, shape, PROMPTS, max_tokens=12, temperature=temperature, seed=3,
            stalls=(0, 60),
        )  # fmt: skip
        assert found.fault == ""
    assert min(len(set(answer.expected)) for answer in found.answers) > 1
    other = small(name, tmp_path, 1)
    found = check_chip(other, chip, shape, PROMPTS[:2], max_tokens=12, temperature=1.0, seed=3)
    assert "differs from the emulator's" in found.fault
