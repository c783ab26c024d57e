"""Many streams at once, for some seconds: none lost, none mixed up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOAD = Path(__file__).parents[2] / "benchmarks" / "load.py"


def test_streams_side_by_side_are_what_they_are_alone(bundled):
    command = [sys.executable, str(LOAD), str(bundled), "--streams", "60", "--seconds", "3"]
    command += ["--requests", "16", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    facts = json.loads(result.stdout)
    assert facts["wrong"] == 0
    assert facts["requests"] >= 60
    assert facts["first_token"]["p50_ms"] > 0
