"""Facts and measurements -> the page, through page/page.html.j2.

The style sheet and the script are inlined; a content security policy names the
script by its digest and forbids everything else, so that no text of a model or
file could run or fetch anything, even if it slipped through escaping.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import jinja2
from markupsafe import Markup

from hnlpu.insight.report import _charts as charts
from hnlpu.insight.report import _drawings as drawings
from hnlpu.insight.report import _svg as svg
from hnlpu.insight.report._facts import BuildFacts, MatrixFacts
from hnlpu.insight.report._masks_page import MasksSection
from hnlpu.insight.report._measure import SEED, Quality, Speech
from hnlpu.insight.report._system_page import SystemSection
from hnlpu.model.checkpoint import Architecture, ModelFacts
from hnlpu.silicon.hardwire import machine, peak_memory_mb, role_errors

FORMAT_NOTES = {
    "native": "the checkpoint's own MXFP4 codes, untouched",
    "mxfp4": "one MXFP4 digit a weight",
    "ternary": "one digit of -1, 0 or 1 a weight",
    "ternary2": "one digit of -1, 0 or 1 a weight, two inputs to a port",
    "int3": "one digit from -3 to 3 a weight",
    "int4": "one digit from -8 to 7 a weight",
    "nf4": "one digit of NF4's 16 values a weight, in whole numbers",
    "fitted": "one digit of 16 values that were fitted to a tensor",
    "int8": "two digits from -8 to 7 a weight, in base 16",
    "mxfp4x2": "two MXFP4 digits a weight, the second for the first one's error",
}
MOST_LISTED = 3
"""Entries of a setting that are written out; of more, each value with its count."""
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}


def render(
    facts: BuildFacts, quality: Quality, speech: Speech, metal: MasksSection, network: str,
    made_of: str, system: SystemSection, steps: Sequence[tuple[str, float]],
) -> str:  # fmt: skip
    """The whole page as HTML text; `network` is the SVG of the network, `made_of` what it has."""
    environment = _environment()
    script = _source(environment, "page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        facts=facts, quality=quality, speech=speech, metal=metal, steps=steps,
        manifest=facts.manifest, made_of=made_of, system=system,
        style=Markup(_source(environment, "page.css")),  # noqa: S704  our own file
        script=Markup(script), script_digest=digest,  # noqa: S704  our own file
        network=Markup(network),  # noqa: S704  our own SVG, its texts escaped
        banner=drawings.banner(facts.excerpt),
        crossbar=drawings.crossbar(facts.excerpt),
        via_map=drawings.via_map(facts.excerpt),
        role_bar=charts.stacked_bar(
            "Weights by role", [(r.role, r.weights, f"fill-{r.role}") for r in facts.roles]
        ),
        byte_bar=charts.stacked_bar(
            "Bytes by purpose",
            [(name, size, f"part-{i}") for i, (name, size) in enumerate(facts.parts)],
        ),
        step_bar=charts.stacked_bar(
            "Time by step", [(name, took, f"part-{i % 6}") for i, (name, took) in enumerate(steps)]
        ),
        total_seconds=sum(took for _, took in steps),
        values=_value_histograms(facts), exponents=_exponent_histograms(facts),
        errors=list(_error_charts(facts)), error_summary=_error_summary(facts),
        role_errors=role_errors({m.name: m.record for m in facts.matrices}),
        ladder=charts.change_ladder(quality),
        shifts=charts.shift_histogram(quality.shifts) if quality.shifts else None,
        format_notes=FORMAT_NOTES, seed=SEED, settings=_settings(facts),
        machine=machine(), peak_memory_mb=peak_memory_mb(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hnlpu.insight.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": svg.short_count, "bytes": svg.byte_size, "time": svg.duration,
        "percent": svg.percent, "share_of": _share, "change": svg.signed_percent, "visible": _visible,
        "breakable": _breakable,
    }  # fmt: skip
    return environment


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _share(part: int, whole: int) -> str:
    return svg.percent(part / whole)


def _visible(text: str) -> str:
    """Control characters of a model's output as the pictures that stand for them."""
    return text.translate(_CONTROLS)


def _breakable(name: str) -> Markup:
    """A dotted name that may wrap after its dots."""
    return Markup(".<wbr>").join(name.split("."))


def _value_histograms(facts: BuildFacts) -> list[tuple[str, Markup]]:
    tallest = max(max(s.values) / s.elements for role in facts.roles for s in role.spectra)
    limit = svg.nice_limit(tallest)
    return [(role.role, charts.value_histogram(role, limit)) for role in facts.roles]


def _exponent_histograms(facts: BuildFacts) -> list[tuple[str, Markup]]:
    """Empty where every block of the model is zero."""
    spectra = [s for role in facts.roles for s in role.spectra if s.exponents]
    if not spectra:
        return []
    found = [power for s in spectra for power, _ in s.exponents]
    powers = range(min(found), max(found) + 1)
    tallest = max(max(n for _, n in s.exponents) / charts.blocks(s) for s in spectra)
    limit = svg.nice_limit(tallest)
    return [(r.role, charts.exponent_histogram(r, powers, limit)) for r in facts.roles]


def _error_charts(facts: BuildFacts) -> Iterator[tuple[str, str, str, Markup | None]]:
    """(kind, role, verdict, chart) for each kind of matrix; no chart where all are exact."""
    limit = svg.nice_limit(max(m.record.relative_error for m in facts.matrices))
    kinds: dict[str, list[MatrixFacts]] = {}
    for matrix in facts.matrices:
        kinds.setdefault(matrix.kind, []).append(matrix)
    for kind, matrices in kinds.items():
        worst = max(m.record.relative_error for m in matrices)
        formats = " and ".join(sorted({m.record.format for m in matrices}))
        verdict = f"at most {svg.percent(worst)}" if worst else f"exactly 0{_where(matrices)}"
        chart = charts.error_bars(matrices, limit) if worst else None
        yield kind, matrices[0].record.role, f"{verdict} ({formats})", chart


def _where(matrices: Sequence[MatrixFacts]) -> str:
    return f" in all {len(matrices)} layers" if len(matrices) > 1 else ""


def _error_summary(facts: BuildFacts) -> dict[str, int]:
    """How many weights came through unchanged, and why."""
    exact = [m.record for m in facts.matrices if m.record.relative_error == 0]
    native = sum(r.weights for r in exact if r.format == "native")
    return {
        "native": native,
        "on_grid": sum(r.weights for r in exact) - native,
        "changed": facts.weights - sum(r.weights for r in exact),
    }


def _settings(facts: BuildFacts) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every setting of the build as (group, rows)."""
    manifest = facts.manifest
    rows = list(_config_rows(manifest.architecture))
    policy = [(name, _setting(value)) for name, value in manifest.policy.model_dump().items()]
    origin = [
        ("made by", manifest.generator),
        ("build directory", facts.directory),
        ("schema version", str(manifest.schema_version)),
        ("checkpoint digest", manifest.source.digest),
    ]
    log = facts.log
    if log is not None:
        origin += [
            ("checkpoint", log.checkpoint),
            ("finished", log.finished),
            ("machine", log.machine),
            ("workers", str(log.workers)),
            ("manifest digest", log.manifest_sha256),
        ]
    return [("Policy", policy), ("Origin", origin), ("Architecture", rows)]


def _config_rows(described: Architecture | ModelFacts) -> Iterator[tuple[str, str]]:
    """Every setting of a model's config, those of an inner object under its name."""
    values = (
        described.config if isinstance(described, ModelFacts) else described.model_dump(mode="json")
    )
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", _setting(of)) for inner, of in value.items())
        elif isinstance(value, list) and len(value) > MOST_LISTED:
            counts = Counter(map(str, value))
            yield name, ", ".join(f"{count} {of}" for of, count in counts.items())
        else:
            yield name, _setting(value)


def _setting(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
