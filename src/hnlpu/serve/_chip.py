"""What the simulated chip would do with the model that is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hnlpu.errors import HnlpuError
from hnlpu.system.design import open_target
from hnlpu.system.machine import busy_machine


def chip_facts(build: Path) -> dict[str, Any]:
    """The build's design with all its users, as `hnlpu simulate` gives it without options.

    Or `problem`, in words, where the build cannot be simulated.
    """
    try:
        target = open_target(str(build))
        result = busy_machine(target)
    except HnlpuError as error:
        return {"problem": str(error)}
    return {
        "chips": target.specification.rows * target.specification.columns,
        "sequences": result.batch,
        "die_mm2": target.system.die.area.value,
        "context": target.context,
        "tokens_per_second": float(result.tokens_per_second),
        "bound_tokens_per_second": float(result.bound or 0.0),
        "tokens_per_second_per_user": float(result.tokens_per_second_per_user),
    }
