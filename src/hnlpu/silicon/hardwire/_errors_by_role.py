"""What a build changed of a model's weights, role by role, and whether it has all of them.

MatrixRecord of each matrix ──► RoleError of each role
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hnlpu.errors import DamagedBuild
from hnlpu.model.checkpoint import MatrixShape, Role
from hnlpu.silicon.hardwire._manifest import MatrixRecord


@dataclass(frozen=True)
class RoleError:
    """What rounding did to the matrices of one role.

    `relative_error` is the RMS of the change divided by the RMS of the weights, over all weights
    of the role that a format was chosen for; `taken` counts the others, whose codes were taken as
    the checkpoint has them.  It is None for builds of before, which recorded too little of several
    matrices.  `worst` is the matrix that changed most, with its own relative error.
    """

    role: Role
    formats: tuple[str, ...]
    weights: int
    taken: int
    relative_error: float | None
    worst: str
    worst_error: float

    @property
    def exact(self) -> bool:
        """Whether every weight is the checkpoint's own."""
        return self.worst_error == 0


def role_errors(
    records: Mapping[str, MatrixRecord], fill: Mapping[str, int] | None = None
) -> tuple[RoleError, ...]:
    """The error of every role, in the order in which roles are met; `fill` (`fill_of`) is not counted."""
    roles = dict.fromkeys(record.role for record in records.values())
    return tuple(
        _of_role(role, {n: r for n, r in records.items() if r.role == role}, fill or {})
        for role in roles
    )


def _of_role(role: Role, records: dict[str, MatrixRecord], fill: Mapping[str, int]) -> RoleError:
    worst = max(records, key=lambda name: records[name].relative_error)
    untouched = {n: r for n, r in records.items() if r.rms is None and r.format == "native"}
    return RoleError(
        role=role,
        formats=tuple(sorted({r.format for r in records.values()})),
        weights=sum(r.weights - fill.get(name, 0) for name, r in records.items()),
        taken=sum(
            r.weights - fill.get(name, 0) for name, r in untouched.items() if r.relative_error == 0
        ),
        relative_error=_relative(records.values()),
        worst=worst,
        worst_error=records[worst].relative_error,
    )


def _relative(records: Iterable[MatrixRecord]) -> float | None:
    """Relative error of several matrices together; None where it cannot be told."""
    rounded = [r for r in records if not (r.format == "native" and r.relative_error == 0)]
    if all(r.relative_error == 0 for r in rounded):
        return 0.0
    squares = changed = 0.0
    for record in rounded:
        if record.rms is None:
            return None
        squares += record.weights * record.rms**2
        changed += record.weights * (record.rms * record.relative_error) ** 2
    return math.sqrt(changed / squares)


def check_coverage(shapes: Iterable[MatrixShape], records: Mapping[str, MatrixRecord]) -> int:
    """Weights of a model, all of which the records counted; raises DamagedBuild otherwise.

    What is compared are the digits that were counted while they were written, not sizes.
    """
    total = 0
    for shape in shapes:
        record = records.get(shape.name)
        counted = [sum(d.codes) for d in record.digits] if record is not None else [0]
        if any(digits != shape.weights for digits in counted):
            raise DamagedBuild(
                f"{shape.name}: {min(counted):,} of {shape.weights:,} weights became digits; "
                "build it again"
            )
        total += shape.weights
    return total
