"""The table of schemes: a new one is a file with its `MaskScheme`, and a line here."""

from __future__ import annotations

from typing import Any

from hnlpu.silicon.masks._scheme import MaskScheme
from hnlpu.silicon.masks._scheme_regions import RegionsMasks
from hnlpu.silicon.masks._scheme_taps import TapsMasks

MASK_SCHEMES: dict[str, MaskScheme[Any]] = {"taps": TapsMasks(), "regions": RegionsMasks()}
"""By the scheme's name."""
