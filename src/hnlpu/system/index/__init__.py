"""The hardwiring index: every model on every process, sized, priced, and held against what is sold.

catalog's models, processes ──► design ──► cost, break-even ──► Entry
                            └─► explore ──► the best machine found
"""

from hnlpu.system.index._entries import COLUMNS, Entry, hardwiring_index
from hnlpu.system.index._prices import token_price

__all__ = ["COLUMNS", "Entry", "hardwiring_index", "token_price"]
