"""`ChipFile`: the OASIS file of a chip in a folder of masks, read cell by cell."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from hnlpu.errors import DamagedMasks
from hnlpu.masks._cells import chip_name
from hnlpu.masks._oasis_cell import Cell
from hnlpu.masks._oasis_read import parse_cell
from hnlpu.masks._record import read_cells


class ChipFile:
    """The OASIS file of a chip, read cell by cell."""

    def __init__(self, folder: Path, chip: int):
        self._path = folder / f"{chip_name(chip)}.oas"
        self.cells = read_cells(folder / f"{chip_name(chip)}.cells.json")
        try:
            self._file = self._path.open("rb", buffering=0)
        except OSError as error:
            raise self._unreadable(error) from None

    def __enter__(self) -> ChipFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @functools.cached_property
    def shared(self) -> Mapping[str, Cell]:
        """The cells that tiles place."""
        return {
            name: parse_cell(self.record(name), f"{self._path}: {name}")
            for name in self.cells
            if name.startswith("scale-")
        }

    def record(self, name: str) -> bytes:
        """The bytes of a cell; raises DamagedMasks."""
        place = self.cells.get(name)
        if place is None:
            raise DamagedMasks(f"{self._path}: lacks cell {name}; write the masks again")
        try:
            size = os.fstat(self._file.fileno()).st_size
            if not 0 <= place.offset <= place.offset + place.bytes <= size:
                raise DamagedMasks(
                    f"{self._path}: has {size} bytes, cell {name} would lie beyond; "
                    "write the masks again"
                )
            return os.pread(self._file.fileno(), place.bytes, place.offset)
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> DamagedMasks:
        return DamagedMasks(f"{self._path}: cannot be read ({error.strerror})")
