"""Processes as data: metal stack, design rules, electrical values, die and masks.

One TOML file a process, each value with unit and source.  Add a process by adding a file here,
or give the path of one.
"""

from hnlpu.silicon.technology._lithography import Lithography, Scanner
from hnlpu.silicon.technology._technology import (
    FIXED,
    PIN,
    PROGRAMMABLE,
    Die,
    Economy,
    Electrical,
    Metal,
    SchemeName,
    Silicon,
    Technology,
    Tiling,
    ViaLayer,
    load_technology,
    technology_names,
)

__all__ = [
    "FIXED",
    "PIN",
    "PROGRAMMABLE",
    "Die",
    "Economy",
    "Electrical",
    "Lithography",
    "Metal",
    "Scanner",
    "SchemeName",
    "Silicon",
    "Technology",
    "Tiling",
    "ViaLayer",
    "load_technology",
    "technology_names",
]
