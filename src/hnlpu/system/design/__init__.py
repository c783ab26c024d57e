"""One design, one answer: the chips of a model, right-sized once, and what every command reads.

    a name, a folder, the Hub ──► _shape ──► model, weights ──► _design ──► Design, or a system's file
    library of parts ────────────────────────────────────────────┘

`open_machine` is how simulate, cost, audit, explore, report and serve come by a machine and its model.
"""

from hnlpu.system.design._design import (
    Design,
    NamedMachine,
    design,
    open_machine,
    open_target,
    write_design,
)
from hnlpu.system.design._parts import load_parts
from hnlpu.system.design._shape import NamedModel, open_named
from hnlpu.system.design._sweep import sweep
from hnlpu.system.design._verbs import cost, simulate

__all__ = [
    "Design",
    "NamedMachine",
    "NamedModel",
    "cost",
    "design",
    "load_parts",
    "open_machine",
    "open_named",
    "open_target",
    "simulate",
    "sweep",
    "write_design",
]
