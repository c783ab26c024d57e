"""Whether a build may lose what it loses, and what it would take to lose less.

records ──► matrices beyond the limit ──► the same with two digits ──► LossTooHigh, with both
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

from hnlpu.errors import InvalidInput, LossTooHigh
from hnlpu.model.checkpoint import Model
from hnlpu.model.policy import Policy, fits
from hnlpu.silicon.embed import ROUTED
from hnlpu.silicon.hardwire._convert import convert
from hnlpu.silicon.hardwire._open import Build
from hnlpu.silicon.place import Embedding, Target, array_area_mm2, place

Judge = Callable[[Build], str | None]
"""What it finds too bad about a finished build, in a clause; None lets the build pass."""
MOST_NAMED = 3


def check_limit(max_error: float | None) -> None:
    """Raise InvalidInput for a limit that makes no sense."""
    if max_error is not None and not 0 <= max_error < 1:
        raise InvalidInput(f"max error {max_error:g}: give a share of at least 0 and below 1")


def check_patterns(model: Model, policy: Policy) -> None:
    """Raise InvalidInput for a pattern of the policy that means no matrix, or none that it changes."""
    for pattern, fmt in policy.matrices:
        found = [name for name in model.matrices if fits(pattern, name)]
        if not found:
            raise InvalidInput(
                f"the policy gives {pattern} {fmt}, and the model has no such matrix; it has "
                f"{', '.join(list(model.matrices)[:2])} and so on"
            )
        if all(model.matrices[name].is_mxfp4 for name in found):
            raise InvalidInput(
                f"the policy gives {pattern} {fmt}, and the checkpoint holds {found[0]} as MXFP4, "
                "whose codes are taken as they are; leave it out of the policy"
            )


def judge_build(
    build: Build, model: Model, target: Target, max_error: float | None, judge: Judge | None
) -> None:
    """Raise LossTooHigh for a build that loses more than `max_error` or than `judge` allows."""
    records = build.manifest.matrices
    worst = sorted(records, key=lambda name: -records[name].relative_error)
    if max_error is not None:
        beyond = [name for name in worst if records[name].relative_error > max_error]
        if beyond:
            many = f"{len(beyond)} matrices lose" if len(beyond) > 1 else "a matrix loses"
            _refuse(build, model, target, f"{many} more than `max_error` {max_error:g}", beyond)
    if judge is not None and (verdict := judge(build)) is not None:
        changed = [name for name in worst if records[name].relative_error > 0]
        if not changed:
            raise LossTooHigh(
                f"{verdict}; every weight is exact, so it is the activations: give them more "
                "`activation_bits`"
            )
        _refuse(build, model, target, verdict, changed)


def _refuse(
    build: Build, model: Model, target: Target, verdict: str, beyond: Sequence[str]
) -> NoReturn:
    records = build.manifest.matrices
    named = ", ".join(
        f"{name} {_percent(records[name].relative_error)} as {records[name].format}"
        for name in beyond[:MOST_NAMED]
    )
    worst = f"furthest from the checkpoint: {named}" if len(beyond) > 1 else named
    single = [n for n in beyond if records[n].format not in ("native", "mxfp4x2", "int8")]
    if single:
        remedy = _two_digits(build, model, target, single, len(single) < len(beyond))
    elif any(records[n].format == "native" for n in beyond):
        remedy = "these are MXFP4 codes that `requantize` rounds: build without it, or allow more"
    else:
        remedy = "they have two digits, which are the most there are: allow more"
    raise LossTooHigh(f"{verdict}; {worst}; {remedy}")


def _two_digits(
    build: Build, model: Model, target: Target, names: Sequence[str], only_some: bool
) -> str:
    """What two digits for the matrices would leave, and would cost."""
    records, policy = build.manifest.matrices, build.manifest.policy
    fixed = replace(target, chips=build.manifest.placement.chips)
    tracks = {placed.name: placed.tracks for placed in build.manifest.placement.matrices}
    now = {name: replace(r.embedding, tracks=tracks[name]) for name, r in records.items()}
    then = dict(now)
    error = 0.0
    for name in names:
        record = convert(model.matrices[name], "mxfp4x2", policy, None, records[name].file)
        then[name] = Embedding(2, record.spread, tracks[name])
        error = max(error, record.relative_error)
    before, after = (
        sum(array_area_mm2(place(model.shapes(), of, fixed), target.technology))
        for of in (now, then)
    )
    # routed rows of a second digit may need more tracks than those of the first have
    least = "at least " if target.scheme in ROUTED else ""
    which = f"the {len(names)} of them that have one" if only_some else "them"
    if len(names) == 1 and not only_some:
        which = "it"
    return (
        f"two digits for {which} leave at most {_percent(error)} and take {least}"
        f"{after - before:.4g} mm2 more than {before:.4g} (arrays in {target.technology.name}, "
        f"{target.scheme}); give them the format auto or mxfp4x2, or allow more"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
