"""`hnlpu build`: what it makes of its options, and what it says about the build."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from hnlpu.cli._app import app
from hnlpu.cli._options import FamilyOption, Json, Workers, chosen_family, read_text
from hnlpu.cli._output import out, print_json, progress_bar, waiting
from hnlpu.errors import InvalidInput

if TYPE_CHECKING:
    from hnlpu.insight.sensitivity import PerplexityGate
    from hnlpu.silicon.hardwire import Manifest, RoleError


_FORMATS = "auto, mxfp4, mxfp4x2, int4, nf4, fitted, int8, int3, ternary or ternary2"


@app.command()
def build(
    checkpoint: Annotated[str, typer.Argument(help="Checkpoint folder, .gguf file or Hub id.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Build directory to make.")],
    preset: Annotated[
        str, typer.Option(help="Policy to start from: default or paper.")
    ] = "default",
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Policy file (TOML), as `hnlpu sensitivity` writes it."),
    ] = None,
    attention: Annotated[str | None, typer.Option(help=f"Format: {_FORMATS}.")] = None,
    router: Annotated[str | None, typer.Option(help=f"Format: {_FORMATS}.")] = None,
    experts: Annotated[
        str | None, typer.Option(help="Format of experts that are not MXFP4.")
    ] = None,
    unembedding: Annotated[str | None, typer.Option(help=f"Format: {_FORMATS}.")] = None,
    dense: Annotated[
        str | None, typer.Option(help="Format of all other matrices (default: attention's).")
    ] = None,
    activation_bits: Annotated[int | None, typer.Option(help="Activation width, 2 to 16.")] = None,
    max_spread: Annotated[
        int | None, typer.Option(help="Largest range of block exponents in a row, 0 to 20.")
    ] = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Round rows that spread further, not refuse them.")
    ] = False,
    max_error: Annotated[
        float | None,
        typer.Option(help="Refuse a build with a matrix whose relative error is larger."),
    ] = None,
    max_perplexity_loss: Annotated[
        float | None,
        typer.Option(
            help="Refuse a build that raises the perplexity of --text by more (0.01: 1 %)."
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="UTF-8 file to score, in float and hardwired."),
    ] = None,
    technology: Annotated[
        str,
        typer.Option(
            help="Process: n5, n7, n3, asap7, sky130, ihp-sg13g2, gf180, or a .toml file."
        ),
    ] = "n5",
    scheme: Annotated[str, typer.Option(help="Embedding: taps or regions.")] = "taps",
    chips: Annotated[
        int | None, typer.Option(help="Chips to place on (default: as few as are needed).")
    ] = None,
    bank: Annotated[int, typer.Option(help="Most experts that share a popcount.")] = 8,
    group: Annotated[int, typer.Option(help="Ports of a group (regions).")] = 4,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    family: FamilyOption = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Hardwire a checkpoint into a build directory."""
    formats = {
        "attention": attention, "router": router, "experts": experts, "unembedding": unembedding,
        "dense": dense, "activation_bits": activation_bits, "max_spread": max_spread,
        "requantize": requantize or None,
    }  # fmt: skip
    target = (technology, scheme, chips, bank, group)
    limits = (max_error, max_perplexity_loss, text)
    do_build(
        checkpoint, output, preset, policy, formats, limits, target, revision=revision,
        family=chosen_family(family), workers=workers, json=json,
    )  # fmt: skip


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
        fill_of,
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
    fill = fill_of(made.network)
    errors = role_errors({name: manifest.matrices[name] for name in made.shapes()}, fill)
    facts = {
        **_facts(path, manifest, fill),
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
    filled = f", {facts['fill']:,} zeros that fill blocks of 32" if facts["fill"] else ""
    out.print(
        f"{path}: {weights:,} weights as {digits:,} digits ({digits / weights:.3f} a weight){filled}, "
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


def _facts(path: Path, manifest: Manifest, fill: dict[str, int]) -> dict[str, Any]:
    matrices = manifest.matrices.values()
    filled = sum(fill.values())
    return {
        "directory": str(path),
        "weights": sum(m.weights for m in matrices) - filled,
        "fill": filled,
        "weights_covered": sum(sum(m.digits[0].codes) for m in matrices) - filled,
        "digits": sum(
            (m.weights - fill.get(name, 0)) * m.metal_digits
            for name, m in manifest.matrices.items()
        ),
        "zeros": sum(m.zeros for m in matrices) - filled,
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
