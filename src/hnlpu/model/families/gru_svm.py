"""A GRU with a linear support vector machine as its head (Agarap 2017, arXiv 1709.03082).

    signals ─► GRU ─► ... ─► scores [output_size]        the class is the largest score's number

The checkpoint has the names of a module with `gru` (nn.GRU) and `svm` (nn.Linear):

    gru.weight_ih_l0, _l1 ...       [3 * hidden_size, width of the layer below], rows reset, update, new
    gru.weight_hh_l0, _l1 ...       [3 * hidden_size, hidden_size]
    gru.bias_ih_l0, gru.bias_hh_l0  [3 * hidden_size]
    svm.weight, svm.bias            [output_size, hidden_size], [output_size]

A support vector machine and a softmax differ in the loss that trains the head, not in what it computes:
the argmax of w x + b.
"""

from __future__ import annotations

from hnlpu.model.families._config import SignalConfig
from hnlpu.model.families._family import Family
from hnlpu.model.families._parts import linear, recurrence, signals
from hnlpu.model.network import Builder, Cut, Network
from hnlpu.model.network.composites import dense, gru


class GruSvm(SignalConfig):
    """config.json of a GRU with a linear support vector machine."""


def network(c: GruSvm) -> Network:
    """The network of a config."""
    b = Builder("gru_svm")
    x = signals(b, c.input_size)
    for layer in range(c.num_hidden_layers):
        with b.block(layer):
            x = gru(x, *recurrence(b, f"gru.{{}}_{{}}_l{layer}", 3, x, c.hidden_size, bias=True))
    head = linear("svm", c.output_size, c.hidden_size, "unembedding", Cut("rows"), bias=True)
    return b.finish(dense(x, b.matrix(head)))


FAMILY = Family(
    ("gru_svm",), GruSvm, network, "a GRU of signals with a linear support vector machine", "torch"
)
