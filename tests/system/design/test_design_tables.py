"""The table of docs/design.md is what the code computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_has_what_the_code_computes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "design_tables.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
