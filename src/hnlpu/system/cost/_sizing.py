"""A model, a checkpoint or a build -> bits to embed -> chips.

stored       each weight in the bits that the checkpoint stores
two-digits   one MXFP4 digit where 4.25 bits are enough, else two (8.5): what `hnlpu build` makes
one-digit    one MXFP4 digit a weight (4.25 bits), as the HNLPU paper counts
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hnlpu.errors import InvalidInput
from hnlpu.silicon.hardwire import MANIFEST, read_manifest
from hnlpu.system.catalog import DIGIT_BITS, Model, shape_of_folder

Weights = Literal["stored", "two-digits", "one-digit"]
WAYS: tuple[Weights, ...] = get_args(Weights)


@dataclass(frozen=True)
class CostSubject:
    """What is to be embedded: its shape, its bits, and where they come from.

    `digits` are MXFP4 digits of a weight that is no expert's, on average.
    """

    shape: Model
    bits: float
    counted: str
    digits: float = 1.0


def weight_bits(model: Model, way: Weights = "stored") -> float:
    """Bits of all weights of `model` that become metal."""
    total = 0.0
    for count, bits in model.stored():
        if way == "two-digits":
            bits = DIGIT_BITS if bits <= DIGIT_BITS else 2 * DIGIT_BITS
        elif way == "one-digit":
            bits = DIGIT_BITS
        total += count * bits
    return total


def subject_of_model(model: Model, way: str = "stored") -> CostSubject:
    """A model of the catalog with its weights counted in one `way`; raises InvalidInput."""
    for known in WAYS:
        if way == known:
            digits = 2.0 if way == "two-digits" else 1.0
            return CostSubject(model, weight_bits(model, known), way, digits)
    raise InvalidInput(f"weights {way!r}: choose from {', '.join(WAYS)}")


def subject_of_directory(directory: Path, way: str | None = None) -> CostSubject:
    """A build (its digits as they are, unless `way` says otherwise) or a checkpoint.

    Raises NotABuild, DamagedBuild, CheckpointNotFound, InvalidConfig and their like.
    """
    shape = shape_of_folder(directory, _name(directory))
    if not (directory / MANIFEST).exists():
        return subject_of_model(shape, way or "two-digits")
    manifest = read_manifest(directory)
    if way is not None:
        return subject_of_model(shape, way)
    digits = sum(m.weights * m.metal_digits for m in manifest.matrices.values())
    others = [m for m in manifest.matrices.values() if m.role != "experts"]
    mean = sum(m.weights * m.metal_digits for m in others) / sum(m.weights for m in others)
    return CostSubject(shape, digits * DIGIT_BITS, "digits of the build", mean)


def _name(directory: Path) -> str:
    """A folder's name as a model's: lower case, nothing but letters, digits, dots and dashes."""
    kept = "".join(
        c if (c.isascii() and c.isalnum()) or c in "._-" else "-" for c in directory.name
    )
    return kept.lower().lstrip("._-") or "model"
