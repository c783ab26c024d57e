"""What a model loses where its weights are rounded: on a text, matrix by matrix, beside what it saves.

checkpoint ──► finest build ──┐
          └──► coarser build ─┴─► mixtures, scored ──► losses, areas, dollars ──► a policy
"""

from hnlpu.insight.sensitivity._found import BudgetStep, Option, Sensitivity
from hnlpu.insight.sensitivity._gate import Loss, PerplexityGate
from hnlpu.insight.sensitivity._measure import Progress, SensitivitySubject
from hnlpu.insight.sensitivity._mixtures import areas_mm2, mixture
from hnlpu.insight.sensitivity._prices import masks_per_chip
from hnlpu.insight.sensitivity._write import POLICY, TABLE, sensitivity

__all__ = [
    "POLICY",
    "TABLE",
    "BudgetStep",
    "Loss",
    "Option",
    "PerplexityGate",
    "Progress",
    "Sensitivity",
    "SensitivitySubject",
    "areas_mm2",
    "masks_per_chip",
    "mixture",
    "sensitivity",
]
