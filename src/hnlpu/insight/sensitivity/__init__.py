"""What a model loses where its weights are rounded: on a text, matrix by matrix, beside what it saves."""

from hnlpu.insight.sensitivity._gate import Loss, PerplexityGate

__all__ = ["Loss", "PerplexityGate"]
