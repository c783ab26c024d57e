"""Fixtures of the tests of RTL."""

from __future__ import annotations

import pytest
from rtl_arrays import build_small

from hnlpu.silicon.hardwire import Build


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A small build; do not alter it."""
    return build_small(tmp_path_factory.mktemp("rtl"), 0)
