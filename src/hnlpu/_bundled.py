"""Where the model lies that comes with the package: in an installed one beside the code, in a checkout in checkpoints/."""

from __future__ import annotations

from pathlib import Path

from hnlpu.errors import CheckpointNotFound

NAME = "stdlib-140k"
_PACKAGE = Path(__file__).resolve().parent
PLACES = (_PACKAGE / "checkpoints" / NAME, _PACKAGE.parents[1] / "checkpoints" / NAME)


def bundled_model() -> Path:
    """The folder of the small bundled checkpoint; raises CheckpointNotFound."""
    for place in PLACES:
        if (place / "config.json").is_file():
            return place
    raise CheckpointNotFound(
        f"{PLACES[0]}: the bundled model is not there; install hnlpu again, or name a checkpoint"
    )
