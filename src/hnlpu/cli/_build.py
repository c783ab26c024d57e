"""`hnlpu build`: what it makes of its options, and what it says about the build."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from hnlpu.cli._output import out, print_json, progress_bar, waiting
from hnlpu.errors import InvalidInput

if TYPE_CHECKING:
    from hnlpu.insight.sensitivity import PerplexityGate
    from hnlpu.silicon.hardwire import Manifest, RoleError


def do_build(
    checkpoint: str, output: Path, preset: str, policy_file: Path | None,
    formats: Mapping[str, object], limits: tuple[float | None, float | None, Path | None],
    target: tuple[str, str, int | None, int, int], *, revision: str | None, family: Any,
    workers: int | None, json: bool,
) -> None:  # fmt: skip
    """Build, and print what was lost where."""
    from hnlpu.model.policy import make_policy, read_policy
    from hnlpu.silicon.hardwire import (
        MANIFEST,
        build,
        file_sha256,
        open_build,
        peak_memory_mb,
        read_log,
        role_errors,
    )
    from hnlpu.silicon.place import make_target

    max_error, max_loss, text = limits
    embed_in = make_target(*target)
    given = {} if policy_file is None else read_policy(policy_file)
    given |= {name: value for name, value in formats.items() if value is not None}
    policy = make_policy(preset, **given)
    gate = _gate(checkpoint, text, max_loss, revision, family)
    began = time.monotonic()
    with progress_bar("hardwiring") as progress:
        path = build(
            checkpoint, output, policy, embed_in, revision=revision, family=family,
            max_error=max_error, judge=gate, workers=workers, progress=progress,
        )  # fmt: skip
    made = open_build(path)
    manifest = made.manifest
    errors = role_errors({name: manifest.matrices[name] for name in made.shapes()})
    facts = {
        **_facts(path, manifest),
        "seconds": round(time.monotonic() - began, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "errors": {e.role: _error_facts(e) for e in errors},
        "left_out": {other.start: other.reason for other in made.network.left_out},
    }
    log = read_log(path, file_sha256(path / MANIFEST))
    facts["notes"] = list(log.notes) if log else []
    loss = None if gate is None else gate.found
    if loss is not None:
        facts["perplexity"] = {
            "float": loss.float_perplexity, "hardwired": loss.perplexity, "loss": loss.share,
            "tokens": loss.tokens,
        }  # fmt: skip
    if json:
        print_json(facts)
        return
    weights, digits = facts["weights"], facts["digits"]
    out.print(
        f"{path}: {weights:,} weights as {digits:,} digits ({digits / weights:.3f} a weight), "
        f"{facts['bytes'] / 1e6:,.1f} MB, in {facts['seconds']:.1f} s"
    )
    print_errors(errors)
    out.print(f"coverage: {facts['weights_covered']:,} of {weights:,} weights")
    for note in facts["notes"]:
        out.print(note)
    if loss is not None:
        out.print(
            f"perplexity of {loss.tokens:,} tokens: {loss.float_perplexity:.5g} in float, "
            f"{loss.perplexity:.5g} hardwired ({100 * loss.share:+.3g} %)"
        )


def _gate(
    checkpoint: str, text: Path | None, limit: float | None, revision: str | None, family: Any
) -> PerplexityGate | None:
    """A judge by perplexity, where a text is given; raises InvalidInput for a limit without one."""
    from hnlpu.cli._app import read_text

    if text is None:
        if limit is not None:
            raise InvalidInput(
                "--max-perplexity-loss says nothing without a text; give --text FILE"
            )
        return None
    from hnlpu.insight.sensitivity import PerplexityGate

    passage = read_text(text)
    with waiting("scoring in float"):
        return PerplexityGate(checkpoint, passage, limit, revision=revision, family=family)


def _facts(path: Path, manifest: Manifest) -> dict[str, Any]:
    matrices = manifest.matrices.values()
    weights = sum(m.weights for m in matrices)
    return {
        "directory": str(path),
        "weights": weights,
        "weights_covered": sum(sum(m.digits[0].codes) for m in matrices),
        "digits": sum(m.weights * m.metal_digits for m in matrices),
        "zeros": sum(m.zeros for m in matrices),
        "bytes": sum(f.bytes for f in manifest.files.values()),
        "policy": manifest.policy.model_dump(mode="json"),
        "technology": manifest.technology.name,
        "scheme": manifest.placement.scheme,
        "chips": manifest.placement.chips,
        "family": manifest.family,
        "source_digest": manifest.source.digest,
    }


def _error_facts(error: RoleError) -> dict[str, Any]:
    return {
        "formats": list(error.formats), "weights": error.weights, "taken_as_stored": error.taken,
        "relative_error": error.relative_error, "worst": error.worst,
        "worst_relative_error": error.worst_error,
    }  # fmt: skip


def print_errors(errors: Sequence[RoleError]) -> None:
    """What rounding did to each role."""
    table = Table("role", "formats", "relative error", Column("worst matrix", overflow="fold"))
    for e in errors:
        if e.exact:
            table.add_row(e.role, " and ".join(e.formats), "exact", "")
            continue
        mean = "not recorded" if e.relative_error is None else f"{100 * e.relative_error:.3g} %"
        worst = f"{e.worst} {100 * e.worst_error:.3g} %"
        table.add_row(e.role, " and ".join(e.formats), mean, worst)
    out.print(table, markup=False)
