"""A smaller checkpoint of the same family: what is kept of each layer, and weights that are others.

model ─► `Edit`: heads, neurons, experts and halves of layers to keep, matrices to replace
      ─► config.json and tensors of a new checkpoint, written tensor by tensor
"""

from hnlpu.model.edit._network import Cutting, edited
from hnlpu.model.edit._selection import Edit, LayerSelection, keep_all
from hnlpu.model.edit._write import write_checkpoint

__all__ = [
    "Cutting",
    "Edit",
    "LayerSelection",
    "edited",
    "keep_all",
    "write_checkpoint",
]
