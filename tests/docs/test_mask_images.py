"""The drawings in docs/images are those that scripts/mask_images.py makes of today's geometry."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "mask_images", ROOT / "scripts" / "mask_images.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["mask_images"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["taps_cell", "regions_row"])
def test_the_drawing_is_up_to_date(script: ModuleType, name: str) -> None:
    path = IMAGES / f"{name.replace('_', '-')}.svg"
    drawn: str = getattr(script, name)()
    assert path.read_text("utf-8") == drawn, "run python scripts/mask_images.py"
    assert len(drawn) < 100_000


def test_the_tile_is_small_and_large_enough_to_read() -> None:
    path = IMAGES / "tile.png"
    assert path.stat().st_size < 300_000
    with Image.open(path) as image:
        assert image.width >= 1500
        assert image.height >= 1000
