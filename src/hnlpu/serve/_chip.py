"""What the simulated chip would do with the model that is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hnlpu.errors import HnlpuError
from hnlpu.system.machine import busy_machine, open_target


def chip_facts(build: Path, context: int) -> dict[str, Any]:
    """Rates of the build's machine with every slot busy, as `hnlpu simulate` gives them.

    Or `problem`, in words, where the build cannot be simulated.
    """
    try:
        target = open_target(str(build))
        result = busy_machine(target, context)
    except HnlpuError as error:
        return {"problem": str(error)}
    return {
        "chips": target.specification.rows * target.specification.columns,
        "sequences": result.batch,
        "context": context,
        "tokens_per_second": float(result.tokens_per_second),
        "tokens_per_second_per_user": float(result.tokens_per_second_per_user),
    }
