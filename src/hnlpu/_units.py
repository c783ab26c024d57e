"""Units of data files -> factors: a closed list, in which a bit is no pure number and b is no barn.

A general registry of units knows Gb as gilbert, b as barn, GT as gigatesla and a byte as eight times
nothing.  Here only what silicon, machines and prices are counted in is known; what stands for two
things is refused with what to write instead.
"""

from __future__ import annotations

import functools
import re
from typing import Any

_PREFIXES = {
    "a": "1e-18", "f": "1e-15", "p": "1e-12", "n": "1e-9", "u": "1e-6", "µ": "1e-6", "μ": "1e-6", "m": "1e-3",
    "c": "1e-2", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12", "P": "1e15", "E": "1e18",
    "Ki": "2**10", "Mi": "2**20", "Gi": "2**30", "Ti": "2**40",
}  # fmt: skip
_COUNTED = ("weight", "token", "operation", "CO2e", "mask", "chip", "die")
"""What is counted is a dimension of its own: tokens are no chips, and no bare number."""
_UNITS = (
    "m = [length] = _ = meter = metre",
    "angstrom = 1e-10 * m = Å = Å",
    "inch = 0.0254 * m",
    "s = [time] = _ = second",
    "min = 60 * s = _ = minute",
    "h = 3600 * s = _ = hour = hr",
    "day = 86400 * s = d",
    "year = 31557600 * s = yr",
    "month = 2629800 * s",
    "Hz = 1 / s = _ = hertz",
    "g = [mass] = _ = gram",
    "tonne = 1e6 * g = t",
    "A = [current] = _ = ampere",
    "K = [temperature] = _ = kelvin",
    "N = 1e3 * g * m / s**2 = _ = newton",
    "J = 1e3 * g * m**2 / s**2 = _ = joule",
    "W = J / s = _ = watt",
    "Wh = 3600 * J = _ = watt_hour",
    "V = W / A = _ = volt",
    "ohm = V / A = Ω = Ω",
    "F = A * s / V = _ = farad",
    "bit = [information]",
    "B = 8 * bit = _ = byte",
    "bps = bit / s",
    "Bps = B / s",
    "percent = 0.01 = %",
    "ppm = 1e-6",
    "USD = [currency] = _ = dollar",
    "transistor = [transistor] = Tr",
    *(f"{counted} = [{counted}]" for counted in _COUNTED),
)
_COMMON = (
    "nm", "um", "mm", "cm", "nm^2", "um^2", "mm^2", "cm^2", "fs", "ps", "ns", "us", "ms", "kHz",
    "MHz", "GHz", "fJ", "pJ", "nJ", "mJ", "mW", "kW", "MW", "kWh", "mV", "mA", "fF", "pF", "kB",
    "MB", "GB", "TB", "GB/s", "TB/s", "MB/s", "kbit", "Mbit", "Gbit", "Tbit", "Gbit/s", "kg",
    "USD", "kUSD", "MUSD", "transistor", "token/s", "year", "month", "hour", "percent", "fF/um",
    "dimensionless", "bit/weight", "W/mm^2", "transistor/mm^2", "1/cm^2",
)  # fmt: skip
_SPELT = {
    "tok": "token", "tr": "Tr", "mtr": "MTr", "xtor": "transistor", "usd": "USD", "musd": "MUSD",
    "sec": "s", "micron": "um", "microns": "um", "ea": "dimensionless", "none": "dimensionless",
    "ohms": "ohm",
}  # fmt: skip
_LENGTHS = re.compile(r"(?<![A-Za-z_µμ])([fpnuµμmck]?m)([23])(?![\w.])")
_FORM = re.compile(r"[\w%$°€Å²³⁻¹·*/^() .-]{1,60}")
_POWER = re.compile(r"(?:\^|\*\*)\s*\(?\s*-?\s*(\d+(?:\.\d+)?)")
_WORD = re.compile(r"[^\W\d_][\w°]*|°\w+|€")


@functools.cache
def _registry() -> Any:
    import pint

    units: Any = pint.UnitRegistry(None, cache_folder=None)
    for symbol, size in _PREFIXES.items():
        units.define(f"{symbol}- = {size}")
    for line in _UNITS:
        units.define(line)
    return units


@functools.cache
def factor(given: str, wanted: str) -> float:
    """What to multiply a number in unit `given` by to have it in `wanted`.

    Raises ValueError with what to write where `given` is unknown, stands for two things, or is of
    another kind.
    """
    if given == wanted:
        return 1.0  # as in every manifest, which so needs no registry of units (6 MB) to be read
    refusal = f"unit {given!r} is not one of {wanted}"
    if not given.strip():
        raise ValueError(f"{refusal} (write {wanted!r})")
    units = _registry()
    try:
        found = units.Quantity(1.0, _normal(given))
    except Exception:  # pint raises many kinds, some not its own
        raise ValueError(f"{refusal} ({_remedy(given, wanted)})") from None
    try:
        # 15 digits: a um is 1000 nm, not 999.9999999999999
        return float(f"{found.to(wanted).magnitude:.15g}")
    except Exception:
        kind, needed = (_kind(text) for text in (found, units.Quantity(1.0, wanted)))
        near = _cased(given)
        hint = f"; write {near!r}?" if near else ""
        raise ValueError(f"{refusal} (it is {kind}, not {needed}{hint})") from None


def _normal(given: str) -> str:
    """`given` as pint reads it: um2 is um^2, $ is USD."""
    text = given.strip()
    powers = [float(power) for power in _POWER.findall(text)]
    if text and (not _FORM.fullmatch(text) or any(not 1 <= power <= 4 for power in powers)):
        raise ValueError(text)
    return _LENGTHS.sub(r"\1^\2", text.replace("$", "USD"))


def _kind(quantity: Any) -> str:
    return str(quantity.dimensionality).replace(" ** ", "^")


def _cased(given: str) -> str:
    """A common unit that `given` is but for upper and lower case."""
    plain = given.strip().casefold()
    return next((u for u in _COMMON if u.casefold() == plain and u != given.strip()), "")


def _remedy(given: str, wanted: str) -> str:
    """What to write instead of a unit that is not known."""
    words = _WORD.findall(given)
    for word in words:
        if found := re.fullmatch(r"([kKMGTPE]?i?)b", word):
            prefix = "k" if found[1] == "K" else found[1]
            bits, octets = (given.replace(word, prefix + unit, 1) for unit in ("bit", "B"))
            return f"b may be bits or bytes; write {bits!r} or {octets!r}"
    if near := _cased(given):
        return f"write {near!r}"
    for word in words:
        if re.fullmatch(r"K(?!i)\w+", word):
            return f"write {given.replace(word, 'k' + word[1:], 1)!r}; K is kelvin"
        if re.fullmatch(r"[MG]T", word) and "/s" in given.replace(" ", ""):
            return "transfers are no data; write GB/s or Gbit/s of the whole link"
        if re.fullmatch(r"°[CF]|deg[CF]?|[cC]elsius|[fF]ahrenheit", word):
            return "a scale with a zero of its own is no unit; temperatures are in K"
        if word == "€" or word.lower() in ("eur", "gbp", "jpy", "cny"):
            return "prices are in USD; convert it"
        plain = word.removesuffix("s")
        spelt = _SPELT.get(plain) or _SPELT.get(plain.lower())
        if spelt and spelt != word:
            return f"write {given.replace(word, spelt, 1)!r}"
        if not _known(word):
            return f"{word!r} is unknown; write {wanted!r} or a multiple of it"
    return f"write {wanted!r} or a multiple of it"


def _known(word: str) -> bool:
    try:
        _registry().Unit(word)
    except Exception:
        return False
    return True
