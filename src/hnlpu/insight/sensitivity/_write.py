"""A measurement -> a folder: sensitivity.json, and policy.toml where a policy was found.

DIR.partial/lock               held by the one process that measures
DIR.partial/finest, coarser    two builds
DIR.partial/about.json         what these are of; builds of anything else are made anew
DIR.partial/scores.jsonl       a line for every perplexity that was measured
DIR                            appears when all is measured; then the other goes
"""

from __future__ import annotations

import shutil
from pathlib import Path

from hnlpu._paths import absolute
from hnlpu._version import __version__
from hnlpu._whole import new_folder, working_folder
from hnlpu.errors import OutputExists
from hnlpu.insight.sensitivity._found import Sensitivity
from hnlpu.insight.sensitivity._measure import ABOUT, Progress, SensitivitySubject, measure
from hnlpu.model.policy import write_policy

TABLE, POLICY = "sensitivity.json", "policy.toml"


def sensitivity(
    subject: SensitivitySubject, output: str | Path, budget: float, *,
    workers: int | None = None, progress: Progress | None = None,
) -> Sensitivity:  # fmt: skip
    """Measure `subject` and write the folder `output`; killed, it goes on where it was.

    Raises OutputExists, OutputFailed, BuildInProgress, and what `measure` does.
    """
    out = absolute(output)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExists(f"{out}: exists already; remove it or choose another with `output`")
    with working_folder(out, {ABOUT}) as work:
        found = measure(subject, work, budget, workers=workers, progress=progress)
        with new_folder(out) as folder:
            (folder / TABLE).write_text(found.model_dump_json(indent=1) + "\n", "utf-8")
            if found.policy is not None:
                (folder / POLICY).write_text(write_policy(found.policy, _remarks(found)), "utf-8")
        shutil.rmtree(work, ignore_errors=True)
    return found


def _remarks(found: Sensitivity) -> tuple[str, ...]:
    assert found.chosen is not None
    c = found.chosen
    return (
        f"hnlpu {__version__} sensitivity of {Path(found.checkpoint).name}: {found.tokens} tokens,",
        f"perplexity {found.float_perplexity:.6g} in float, {c.perplexity:.6g} with this policy "
        f"({100 * c.loss:+.3g} %, at most {100 * found.budget:g} %),",
        f"arrays of {c.area_mm2:.4g} mm2 in {found.technology}, {found.scheme}",
    )
