"""The physics of a design, claim by claim: computed, claimed, margin, verdict.

system, model, process, limits ──► silicon, power, package, memory, throughput ──► Audit
"""

from hnlpu.system.audit._audit import Audit, Bound, Condition, audit
from hnlpu.system.audit._claim import Claim, Verdict
from hnlpu.system.audit._limits import PhysicalLimits, load_limits

__all__ = [
    "Audit",
    "Bound",
    "Claim",
    "Condition",
    "PhysicalLimits",
    "Verdict",
    "audit",
    "load_limits",
]
