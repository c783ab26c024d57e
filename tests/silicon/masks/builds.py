"""Small builds by name: every scheme, more than one chip, other processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hnlpu.silicon.hardwire import Build

TARGETS: dict[str, dict[str, Any]] = {
    "taps": {},
    "taps on 4 chips": {"chips": 4},
    "taps in sky130": {"technology": "sky130"},
    "taps in asap7": {"technology": "asap7"},
    "regions": {"scheme": "regions"},
    "regions on 2 chips": {"scheme": "regions", "chips": 2},
}

Builds = Callable[[str], Build]
"""The build of a name; see `conftest.builds`."""
