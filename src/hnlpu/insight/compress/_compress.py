"""A checkpoint and a recipe -> a smaller checkpoint, and the ledger of what each step did to its chips.

OUT.partial/about.json          what the rest was made of; of anything else it is made anew
OUT.partial/1/checkpoint        what the first step made, whole or not there
OUT.partial/1/notes             what the step measured, so that it goes on after a kill
OUT.partial/1/stage.json        what the checkpoint is worth, as its build says
OUT                             appears when all is done, with ledger.json; then the other goes
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hnlpu._paths import absolute
from hnlpu._version import __version__
from hnlpu._whole import new_folder, working_folder
from hnlpu.errors import InvalidInput, OutputExists
from hnlpu.insight.compress._ledger import Judge, Ledger, Stage
from hnlpu.insight.compress._options import StepOptions
from hnlpu.insight.compress._subject import Float32, Progress, Subject
from hnlpu.model.checkpoint import locate, read_model
from hnlpu.model.edit import edited, write_checkpoint
from hnlpu.model.families import Family
from hnlpu.model.policy import Policy
from hnlpu.run.emulate import Tokenizer
from hnlpu.silicon.hardwire import canonical_json, file_sha256
from hnlpu.silicon.place import Target

ABOUT, COVERAGE, LEDGER = "about.json", "coverage.json", "ledger.json"
JUDGED = 0.2
"""Share of a text, its end, on which nothing is decided, where no other is given to judge by."""


@dataclass(frozen=True)
class Task:
    """What is compressed, by which steps, decided on `text`, judged on `judged` (default: the text's end).

    `tokens` bounds what steps are decided on, and what they are judged on.
    """

    checkpoint: str | Path
    steps: Sequence[StepOptions]
    text: str
    target: Target
    policy: Policy
    judged: str | None = None
    tokens: int = 8192
    allow_uncovered: bool = False
    family: Family[Any] | None = None

    def texts(self) -> tuple[str, str]:
        """The text that steps are decided on, and the one that they are judged on."""
        if self.judged is not None:
            return self.text, self.judged
        if not self.text:
            raise InvalidInput("the text is empty; give some to decide on with `text`")
        cut = self.text.rfind("\n", 0, int(len(self.text) * (1 - JUDGED))) + 1
        if not cut:
            raise InvalidInput("the text has one line; give another to judge by with `judged`")
        return self.text[:cut], self.text[cut:]


def compress(
    task: Task, output: str | Path, *, workers: int | None = None, progress: Progress | None = None
) -> Ledger:
    """Write the folder `output`: a checkpoint of the same family, and ledger.json.

    Killed, it goes on where it was.  Raises OutputExists, OutputFailed, BuildInProgress, InvalidInput for steps that
    make no sense, UnsupportedArchitecture for a family or a checkpoint that they cannot change, and what
    building and scoring do.
    """
    out = absolute(output)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExists(f"{out}: exists already; remove it or choose another with `output`")
    if not task.steps:
        raise InvalidInput("give at least one step")
    told = progress or (lambda *_: None)
    source = locate(str(task.checkpoint), None)
    deciding, judged = task.texts()
    with working_folder(out, {ABOUT, COVERAGE}) as work:
        _begin(task, source, work)
        first = Subject.open(source, deciding, task.tokens, work / "notes", told, task.family)
        for step in task.steps:  # before any work
            step.check(first)
        judge = _judge(task, first, judged, workers)
        covered = _coverage(first, work / COVERAGE)
        if covered < 1 and not task.allow_uncovered:
            raise InvalidInput(
                f"the text meets {100 * covered:.3g} % of the matrices, experts counted one by one; give "
                "more text or more `tokens`, or allow it"
            )
        stages = [_stage(judge, source, work / "0", "as it was", ())]
        checkpoint = source
        for number, step in enumerate(task.steps, 1):
            folder = work / str(number)
            checkpoint, lines = _applied(step, checkpoint, source, folder, deciding, task, told)
            told(f"judging {said(step)}", number, len(task.steps))
            stages.append(_stage(judge, checkpoint, folder, said(step), lines))
        ledger = Ledger(
            checkpoint=str(source), technology=task.target.technology.name,
            scheme=task.target.scheme, decided_on=len(first.tokens),
            judged_on=_tokens(first, judge.text), coverage=covered, stages=tuple(stages),
        )  # fmt: skip
        with new_folder(out) as folder:
            shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
            (folder / LEDGER).write_text(ledger.model_dump_json(indent=1) + "\n", "utf-8")
        shutil.rmtree(work, ignore_errors=True)
    return ledger


def said(step: StepOptions) -> str:
    """A step as the command line writes it."""
    options = step.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    name: str = step.model_dump()["name"]
    values = ",".join(
        f"{key}={'+'.join(value) if isinstance(value, list) else json.dumps(value)}"
        for key, value in options.items()
    )
    return f"{name}:{values}" if values else name


def _begin(task: Task, source: Path, work: Path) -> None:
    """Throw away what an earlier run made of anything else."""
    model = read_model(source, task.family)
    target = {f.name: getattr(task.target, f.name) for f in fields(task.target)}
    about = canonical_json(
        {
            "generator": __version__,
            "files": {name: file_sha256(path) for name, path in model.source_files().items()},
            "family": model.network.family,
            "steps": [said(step) for step in task.steps],
            "texts": [hashlib.sha256(text.encode()).hexdigest() for text in task.texts()],
            "tokens": task.tokens,
            "policy": task.policy.model_dump(mode="json"),
            "target": target | {"technology": task.target.technology.model_dump(mode="json")},
        }
    )
    path = work / ABOUT
    if path.exists() and path.read_bytes() == about:
        return
    for old in work.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name != "lock":
            old.unlink()
    path.write_bytes(about)


def _coverage(subject: Subject, kept: Path) -> float:
    """Share of matrices, members counted one by one, that meet a token of the text."""
    if kept.exists():
        return float(json.loads(kept.read_text()))
    met: set[tuple[str, int]] = set()

    def see(name: str, index: int, x: Float32, _: Float32) -> None:
        met.add((name, index))

    subject.progress("observing what the text meets", 0, 1)
    subject.observe(see)
    share = len(met) / sum(matrix.count for matrix in subject.model.network.matrices)
    kept.write_text(json.dumps(share))
    return share


def _judge(task: Task, subject: Subject, text: str, workers: int | None) -> Judge:
    """Judges by as many tokens of a text as steps are decided on at most."""
    ids = _ids(subject, text)
    if len(ids) < 2:
        raise InvalidInput(
            f"the text to judge by has {len(ids)} tokens, at least 2 are needed; give a longer one with `judged`"
        )
    if len(ids) > task.tokens:
        text = Tokenizer(subject.model.settings).decode(ids[: task.tokens])
    return Judge(text, task.target, task.policy, task.family, workers)


def _ids(subject: Subject, text: str) -> list[int]:
    return list(Tokenizer(subject.model.settings).encode(text, whole=True))


def _tokens(subject: Subject, text: str) -> int:
    return len(_ids(subject, text)) - 1


def _applied(
    step: StepOptions,
    checkpoint: Path,
    teacher: Path,
    folder: Path,
    text: str,
    task: Task,
    told: Progress,
) -> tuple[Path, tuple[str, ...]]:
    """The checkpoint that a step makes of another, and what it says; taken up where it is there."""
    folder.mkdir(exist_ok=True)
    made, lines = folder / "checkpoint", folder / "lines.json"
    if not made.exists():
        subject = Subject.open(
            checkpoint, text, task.tokens, folder / "notes", told, task.family, teacher
        )
        decision = step.decide(subject)
        cutting = edited(subject.family, subject.values, decision.edit, renumber=True)
        lines.write_text(json.dumps(list(decision.lines)))
        with new_folder(made) as growing:
            write_checkpoint(subject.model, cutting, decision.edit, growing)
        shutil.rmtree(folder / "notes.rounded", ignore_errors=True)
    return made, tuple(json.loads(lines.read_text()))


def _stage(
    judge: Judge, checkpoint: Path, folder: Path, step: str, lines: tuple[str, ...]
) -> Stage:
    folder.mkdir(exist_ok=True)
    kept = folder / "stage.json"
    if kept.exists():
        return Stage.model_validate_json(kept.read_text())
    build = folder / "build"
    shutil.rmtree(build, ignore_errors=True)
    try:
        stage = judge.stage(checkpoint, build, step, lines)
    finally:
        shutil.rmtree(build, ignore_errors=True)
        with contextlib.suppress(OSError):  # nothing else was done in it
            folder.rmdir()
    folder.mkdir(exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(stage.model_dump_json())
    part.replace(kept)
    return stage
