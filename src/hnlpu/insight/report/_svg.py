"""The few SVG elements that the page draws with, as escaped markup, and how numbers read."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from hnlpu._charts import Rows, table_element

Attribute = str | int | float


def element(name: str, *children: Markup | str, **attributes: Attribute) -> Markup:
    """`<name attributes>children</name>`; `class_` and `text_anchor` name SVG's attributes."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{pairs}>{join(*children)}</{name}>")  # noqa: S704  parts are escaped


def join(*parts: Markup | str) -> Markup:
    """Parts one after the other, escaped unless they are markup."""
    return Markup("").join(parts)


def text(x: float, y: float, content: str, anchor: str = "start", class_: str = "") -> Markup:
    """A line of text."""
    return element("text", content, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("path", d=f"M{_plain(x1)} {_plain(y1)}L{_plain(x2)} {_plain(y2)}", class_=class_)


def bar(x: float, y: float, width: float, height: float, class_: str, hint: str = "") -> Markup:
    """A rectangle that tells `hint` when pointed at."""
    children = (element("title", hint),) if hint else ()
    return element("rect", *children, x=x, y=y, width=width, height=height, class_=class_)


def drawing(
    width: int, height: int, title: str, description: str, *parts: Markup,
    table: tuple[Sequence[str], Rows] | None = None,
) -> Markup:  # fmt: skip
    """A whole inline SVG that scales with its column and speaks to screen readers.

    `table`, columns and rows, are the numbers that it shows: `hnlpu chart` writes them as CSV.
    """
    numbers = "" if table is None else Markup(table_element(*table))  # noqa: S704  escaped there
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        numbers,
        *parts,
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="chart",
    )


def nice_limit(largest: float) -> float:
    """The smallest of 1, 1.5, 2, 3, 4, 6, 8 x 10^n that is not below `largest`; 1 for 0."""
    if not (largest > 0 and math.isfinite(largest)):
        return 1.0
    decade = 10.0 ** math.floor(math.log10(largest))
    return next(
        (
            step * decade
            for step in (1, 1.5, 2, 3, 4, 6, 8)
            if step * decade >= largest * (1 - 1e-9)
        ),
        10 * decade,
    )


def percent(share: float, figures: int = 3) -> str:
    """A share as a percentage; tiny ones keep their figures, exactly 0 says so."""
    if share == 0 or not math.isfinite(share):
        return "0 %" if share == 0 else "∞"
    value = 100 * share
    places = min(6, max(0, figures - 1 - math.floor(math.log10(abs(value)))))
    return f"{value:.{places}f} %".replace("-", "−")


def signed_percent(share: float) -> str:
    """A change as a percentage with its sign."""
    return percent(share, 2) if share <= 0 else f"+{percent(share, 2)}"


def short_count(count: float) -> str:
    """1,234 stays; 7,610,368 is 7.61 million."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if count >= size:
            return f"{count / size:.3g} {name}" if count < 1000 * size else f"{count:,.0f}"
    return f"{count:,.0f}"


def byte_size(size: float) -> str:
    """Bytes in decimal units."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return (
                f"{size / unit:,.3g} {name}"
                if size < 999.5 * unit
                else f"{size / unit:,.0f} {name}"
            )
    return f"{size:,.0f} bytes"


def duration(seconds: float) -> str:
    """Seconds, or minutes and hours when they are many."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 99.95:
        return f"{seconds:.3g} s"
    if seconds < 5999.5:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def half(twice: int) -> str:
    """The E2M1 value whose double is `twice`: −1½, 0, 6."""
    whole, odd = divmod(abs(twice), 2)
    digits = ("½" if whole == 0 else f"{whole}½") if odd else f"{whole}"
    return ("−" if twice < 0 else "") + digits


def power(exponent: int) -> str:
    """2 to the `exponent` with a raised exponent."""
    return "2" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _plain(value: Attribute) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
