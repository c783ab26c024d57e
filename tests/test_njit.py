"""Numba is loaded when it is needed, and not before."""

import subprocess
import sys

import pytest

from hnlpu.run.kernels import load

SCRIPT = """
import sys
import hnlpu
from hnlpu.run.engine import Engine, Request
model = hnlpu.open(sys.argv[1])
tokens = [t.id for t in model.generate([1, 2, 3], max_tokens=3, ignore_end=True)]
(result,) = Engine(model).run([Request((1, 2, 3), max_tokens=3, ignore_end=True)])
assert list(result.tokens) == tokens
model.score([1, 2, 3])
print("numba" in sys.modules)
assert "pint" not in sys.modules  # a registry of units, 6 MB
from hnlpu.run.emulate import ways_to_sum, vector_unit
import numpy as np
vector_unit.rms_norm(np.ones((1, 4), np.float32), np.ones(4, np.float32), 1e-5)
print("numba" in sys.modules)
"""


@pytest.mark.skipif(load()[0] is None, reason="no C kernels")
def test_a_model_in_c_runs_without_numba(tiny_build):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tiny_build], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.split()) == (0, ["False", "True"]), done.stderr


def test_functions_and_folders_of_one_name_stay_apart():
    import hnlpu
    import hnlpu.insight.report
    import hnlpu.insight.verify

    assert callable(hnlpu.report)
    assert callable(hnlpu.verify)
    assert set(hnlpu.__all__) <= {name for name in hnlpu.__all__ if hasattr(hnlpu, name)}
    with pytest.raises(AttributeError, match="nothing"):
        _ = hnlpu.nothing


RENAMED = """
from pathlib import Path
import numpy as np
from typing import NamedTuple
from hnlpu._njit import njit

class {name}(NamedTuple):
    values: np.ndarray

@njit(cache=True)
def total(sums):
    return sums.values.sum()

print(total({name}(np.arange(4.0))))
"""


def test_what_an_earlier_version_cached_of_classes_that_are_gone_is_forgotten(tmp_path):
    script = tmp_path / "sums.py"
    for name in ("Before", "After_"):
        script.write_text(RENAMED.format(name=name))
        done = subprocess.run(
            [sys.executable, "-c", "import sums"], cwd=tmp_path, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "6.0\n"), done.stderr
    assert list(tmp_path.rglob("*.nbi"))
