"""Random corruptions of valid checkpoints end in a correct build or in a clean refusal."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import environment

CASES = 1050  # for each of two seeds, side by side
MEMORY_LIMIT = 12 * 2**30  # of addresses, most of them never touched
GROWTH_LIMIT_MB = 300

HERE = Path(__file__).parent


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What became of the cases, by seed."""
    runs = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp(f"fuzz{seed}")
        runs.append(
            subprocess.Popen(
                [sys.executable, HERE / "fuzzing.py", folder, str(seed), str(CASES)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=limit_memory,
                env=environment(PYTHONPATH=str(HERE.parents[1]), OMP_NUM_THREADS="1"),
            )
        )
    found = []
    for run in runs:
        printed, errors = run.communicate(timeout=600)
        assert run.returncode == 0, errors[-2000:]
        assert errors == ""
        found.append(json.loads(printed))
    return found


def test_every_corruption_ends_in_a_correct_build_or_a_refusal(outcomes):
    bad = [case for outcome in outcomes for case in outcome["bad"]]
    assert not bad, f"{len(bad)} cases, the first:\n" + "\n".join(bad[:3])


def test_the_cases_reach_both_endings_and_every_kind_of_refusal(outcomes):
    for outcome in outcomes:
        assert sum(outcome["endings"].values()) + len(outcome["bad"]) == CASES
        kinds = {
            "built",
            "InvalidConfig",
            "DamagedCheckpoint",
            "TensorMismatch",
            "NotFinite",
            "UnsupportedArchitecture",
            "CheckpointNotFound",
            "ExponentSpread",
        }
        assert kinds <= set(outcome["endings"])


def test_memory_stays_within_its_bound(outcomes):
    for outcome in outcomes:
        assert outcome["memory_growth_mb"] < GROWTH_LIMIT_MB
