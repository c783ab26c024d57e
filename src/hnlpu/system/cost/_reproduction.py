"""The HNLPU paper's tables 1, 2, 3 and 5: reported beside computed, cell by cell.

`reported.toml` holds what is printed, the catalog's systems what it follows from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hnlpu.quantities import DataTable, Title, read_data
from hnlpu.system.catalog import Purpose, Scenario, System, load_system
from hnlpu.system.cost._assumptions import Assumptions, assume, end, owning_of
from hnlpu.system.cost._estimate import Estimate, Owned, estimate, own

Printed = Annotated[str, Field(pattern=r"^<?\d+(\.\d+)?$")]
Range = tuple[float, float]


class TableRow(DataTable):
    """One row of a table as printed; `taken` columns are inputs, `block` is the purpose of table 1's.

    `odd` rows only come out with a rounding or an assumption that `note` names.
    """

    table: Annotated[int, Field(ge=1, le=5)]
    name: Title
    block: Purpose | None = None
    cells: dict[Title, Annotated[list[Printed], Field(min_length=1, max_length=2)]]
    taken: list[Title] = Field(default_factory=list)
    note: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x1f]*$")] = ""
    odd: bool = False


class Reported(DataTable):
    """All rows."""

    row: list[TableRow]


@dataclass(frozen=True)
class TableCell:
    """A number as printed and as computed."""

    table: int
    row: str
    column: str
    reported: str
    computed: float
    taken: bool

    @property
    def error(self) -> float:
        """Relative difference; 0 where a bound is kept, and for a printed 0 that comes out as 0."""
        printed = float(self.reported.lstrip("<"))
        if self.computed == printed or (self._is_bound and self.computed < printed):
            return 0.0
        return (self.computed - printed) / printed if printed else float("inf")

    @property
    def as_printed(self) -> bool:
        """Whether the computed number, rounded as the printed one is, is the printed one."""
        if self._is_bound:
            return self.error == 0
        decimals = len(self.reported.partition(".")[2])
        step = 10.0**-decimals
        return abs(self.computed - float(self.reported)) <= step / 2 * (1 + 1e-9)

    @property
    def _is_bound(self) -> bool:
        return self.reported.startswith("<")


def reported_rows() -> list[TableRow]:
    """The paper's tables as printed."""
    with resources.as_file(resources.files("hnlpu.system.cost") / "reported.toml") as path:
        return read_data(Path(path), Reported).row


def reproduce() -> Iterator[tuple[TableRow, list[TableCell]]]:
    """Every row of the tables with its cells, ends of a range one after the other."""
    computed = _Computed(load_system("hnlpu-asplos26"), load_system("h100"), load_system("wse-3"))
    for row in reported_rows():
        cells = []
        for column, printed in row.cells.items():
            low, high = computed.cell(row, column)
            values = (low,) if len(printed) == 1 else (low, high)
            for text, value in zip(printed, values, strict=True):
                taken = column in row.taken
                cells.append(TableCell(row.table, row.name, column, text, value, taken))
        yield row, cells


class _Computed:
    """The same cells from the catalog's files and the formulas."""

    def __init__(self, hnlpu: System, h100: System, wse: System):
        self._hnlpu, self._systems = hnlpu, {"HNLPU": hnlpu, "H100": h100, "WSE-3": wse}
        self._scenarios = {s.name.split()[0]: s for s in hnlpu.scenario}
        self._ends: tuple[Assumptions, Assumptions] = (
            assume(hnlpu, end("low")), assume(hnlpu, end("high")),
        )  # fmt: skip

    def cell(self, printed: TableRow, column: str) -> Range:
        """Low and high (equal where the paper prints one number)."""
        table, row = printed.table, printed.name
        if table == 1:
            value = self._table_1(printed.block, column)
            return value, value
        if table == 2:
            value = self._table_2(row, self._systems[column])
            return value, value
        if table == 3:
            volume, what = column.split()
            scenario = self._scenarios[volume]
            if what == "HNLPU":
                low, high = (self._hnlpu_owned(row, a, scenario) for a in self._ends)
                return low, high
            value = _TABLE_3_GPU[row](self._gpu_owned(scenario))
            return value, value
        low, high = (self._table_5(row, a) for a in self._ends)
        return low, high

    def _table_1(self, purpose: Purpose | None, column: str) -> float:
        blocks = self._hnlpu.blocks_for(purpose) if purpose else self._hnlpu.block
        return sum(b.area.value if column == "mm2" else b.power.value for b in blocks)

    def _table_2(self, row: str, system: System) -> float:
        rate, watts = system.rate[0].tokens.value, system.power.system.value
        if row == "tokens/s":
            return rate
        if row == "silicon, mm2":
            return system.silicon_mm2
        if row == "rack units":
            assert system.rack_units
            return system.rack_units.value
        if row == "system power, kW":
            p = system.power
            return (
                system.chips * p.chip.value * p.overhead.value / 1e3 if p.overhead else watts / 1e3
            )
        return rate / watts * 1e3 if row == "tokens/kJ" else rate / system.silicon_mm2

    def _estimate(self, a: Assumptions, scenario: Scenario, respins: int) -> Estimate:
        return estimate(
            a, self._hnlpu.chips, scenario.systems, respins, scenario.spares,
            scenario.power_decimals,
        )  # fmt: skip

    def _hnlpu_owned(self, row: str, a: Assumptions, scenario: Scenario) -> float:
        assert self._hnlpu.ownership
        updates = self._hnlpu.ownership.updates if "annual" in row else 0
        return float(_TABLE_3[row](self._estimate(a, scenario, updates)))

    def _gpu_owned(self, scenario: Scenario) -> tuple[Owned, float]:
        gpu = load_system(scenario.against)
        assert gpu.price
        hardware = gpu.price.value * scenario.against_chips / 1e6
        megawatts = gpu.power.system.value * scenario.against_chips / 1e6
        return own(owning_of(gpu), hardware, scenario.against_chips, megawatts), hardware

    def _table_5(self, row: str, a: Assumptions) -> float:
        one = estimate(a, self._hnlpu.chips, 50 if "50" in row else 1)
        return float(_TABLE_5[row.split(",")[0]](a, one))


_TABLE_3: dict[str, Callable[[Estimate], float]] = {
    "datacentre power, MW": lambda e: e.owned.facility_mw,
    "node price": lambda e: e.first_build_musd,
    "datacentre infrastructure": lambda e: e.owned.infrastructure_musd,
    "CapEx": lambda e: e.owned.capex_musd,
    "update re-spin": lambda e: e.respin_musd,
    "electricity": lambda e: e.owned.electricity_musd,
    "maintenance and support": lambda e: e.owned.maintenance_musd,
    "TCO, static model": lambda e: e.tco_musd,
    "TCO, annual updates": lambda e: e.tco_musd,
    "tCO2e, static model": lambda e: e.tco2e,
    "tCO2e, annual updates": lambda e: e.tco2e,
}

_TABLE_3_GPU: dict[str, Callable[[tuple[Owned, float]], float]] = {
    "datacentre power, MW": lambda g: float(g[0].facility_mw),
    "node price": lambda g: g[1],
    "datacentre infrastructure": lambda g: float(g[0].infrastructure_musd),
    "CapEx": lambda g: float(g[0].capex_musd),
    "update re-spin": lambda g: 0.0,
    "electricity": lambda g: float(g[0].electricity_musd),
    "maintenance and support": lambda g: float(g[0].maintenance_musd),
    "TCO, static model": lambda g: float(g[0].tco_musd),
    "TCO, annual updates": lambda g: float(g[0].tco_musd),
    "tCO2e, static model": lambda g: float(g[0].tco2e),
    "tCO2e, annual updates": lambda g: float(g[0].tco2e),
}

_TABLE_5: dict[str, Callable[[Assumptions, Estimate], float]] = {
    "wafer": lambda a, e: a.wafer_usd,
    "package and test": lambda a, e: a.package_and_test_usd,
    "HBM": lambda a, e: a.hbm_usd,
    "system integration": lambda a, e: a.integration_usd,
    "shared masks": lambda a, e: e.shared_masks_musd,
    "embedding masks": lambda a, e: e.chip_masks_musd,
    "architecture": lambda a, e: a.architecture_musd,
    "verification": lambda a, e: a.verification_musd,
    "physical design": lambda a, e: a.physical_musd,
    "IP": lambda a, e: a.ip_musd,
    "first build": lambda a, e: e.first_build_musd,
    "re-spin": lambda a, e: e.respin_musd,
}
