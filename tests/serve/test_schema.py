"""schemathesis against the served OpenAPI document: whatever it makes up, no 5xx."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("schemathesis")

CONFIG = """
[phases.stateful]
enabled = false
"""


@pytest.fixture(scope="module")
def server(start, bundled):
    """A server that gives short answers only, so that many requests take little time."""
    with start(bundled, "--max-tokens", "3", "--context", "128") as found:
        yield found


def test_nothing_that_fits_or_breaks_the_document_ends_in_5xx(server, tmp_path):
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run",
        server.address + "/openapi.json", "--checks", "not_a_server_error", "--mode", "all",
        "--max-examples", "12", "--seed", "1", "--request-timeout", "60",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert server.get("/health").json() == {"status": "ok", "running": 0, "waiting": 0}
