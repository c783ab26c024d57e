"""Exact integer kernels in C for decode and prefill, chosen at run time by instruction set."""

from hnlpu.run.kernels._attention import attend_paged
from hnlpu.run.kernels._library import (
    NOT_FINITE,
    Descriptor,
    Library,
    NotForKernels,
    Product,
    address_of,
    describe,
    load,
)


def instruction_sets() -> tuple[str, ...]:
    """What this processor runs, best first; empty where the library is missing."""
    library, _ = load()
    return library.instructions if library else ()


__all__ = [
    "NOT_FINITE",
    "Descriptor",
    "Library",
    "NotForKernels",
    "Product",
    "address_of",
    "attend_paged",
    "describe",
    "instruction_sets",
    "load",
]
