"""Schemas of what --json prints, from documents of every command:  python scripts/json_schemas.py

Runs each command on the small bundled models, infers what its documents have in common, adds units and kinds of
figures, and writes src/hnlpu/cli/schemas/NAME.json.  What optional work adds (simulators, synthesis) stands in
`ADDED` by hand.  Look at the difference before you commit it: a key that went away breaks who reads it.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from hnlpu.cli._app import app
from hnlpu.cli._schema import KINDS

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "src" / "hnlpu" / "cli" / "schemas"
SMALL, GRU, LLAMA = (
    str(ROOT / "checkpoints" / n) for n in ("stdlib-140k", "gru-106k", "llama-90k")
)
SIGNALS = str(ROOT / "studies" / "gru_svm" / "weights")
PAPER = "hnlpu-asplos26"

SAMPLES: tuple[tuple[str, ...], ...] = (
    ("build", SMALL, "-o", "b"),
    ("build", GRU, "-o", "g", "--technology", "sky130", "--text", "text.txt"),
    ("verify", "b"),
    ("verify", "g", "--samples", "1"),
    ("generate", "b", "--prompt", "def ", "--max-tokens", "4"),
    ("generate", "b", "--tokens", "1,2", "--max-tokens", "3"),
    ("score", "b", "--text", "def add(a, b): return a", "--top", "2"),
    ("score", "b", "--tokens", "1,2,3"),
    ("report", "b", "-o", "b.html"),
    ("place", "b", "--tiles"),
    ("place", "g"),
    ("design", "b"),
    ("design", "llama-3.1-8b", "-o", "d.toml"),
    ("simulate", "g"),
    (
        "simulate",
        PAPER,
        "--prefill",
        "64",
        "--decode",
        "16",
        "--requests",
        "40",
        "--report",
        "m.html",
    ),
    ("simulate", PAPER, "--contention", "none"),
    ("simulate", PAPER, "--trace", "trace.csv"),
    ("cost", PAPER, "--trials", "20", "--report", "c.html"),
    ("cost", "b", "--trials", "20"),
    ("cost", "qwq-32b", "--trials", "20", "--against-usd-per-mtoken", "2"),
    ("cost", "h100", "--model", "gpt-oss-120b"),
    ("audit", PAPER),
    ("audit", "g"),
    ("explore", "g", "--trials", "8"),
    (
        "explore",
        "--model",
        "gpt-oss-120b",
        "--trials",
        "8",
        "--context",
        "2048,8192",
        "--report",
        "e.html",
    ),
    ("sweep", PAPER, "--vary", "context=2048,65536", "--vary", "machine.link.bandwidth=64,128"),
    ("sweep", "g", "--vary", "users=1,9999999"),
    ("index", "llama-3.1-8b", "--technology", "n5", "--technology", "sky130", "--trials", "0"),
    ("index", "gpt-oss-120b", "--technology", "n5", "--trials", "4"),
    ("masks", "g", "--tile", "lm_head*", "-o", "m"),
    ("masks", "g", "--tile", "lm_head*", "--png", "-o", "m.png"),
    ("rtl", "b", "--matrix", "*router", "--neurons", "1", "--vectors", "0", "-o", "r"),
    ("chip", "b", "-o", "chip"),
    ("chip", "b", "--predict"),
    ("chart", "c.html"),
    ("chart", "c.html", "--name", "1", "-o", "c.csv"),
    ("catalog", "list"),
    ("catalog", "show", "h100"),
    ("catalog", "survey", "smollm2-135m", "gpt-oss-20b"),
    ("catalog", "techniques"),
    ("catalog", "devices"),
    ("draw", GRU),
    ("sensitivity", GRU, "--text", "text.txt", "-o", "sens"),
    ("compress", LLAMA, "-o", "less", "--text", "text.txt", "--with", "amp:share=0.25,of=neurons"),
    ("doctor",),
)
"""Commands whose documents make a schema; a command has as many as it takes to see all its keys."""
DOCUMENTS = {
    ("cost", "h100"): "cost-bought",
    ("masks", "m.png"): "masks-picture",
    ("chip", "--predict"): "chip-predict",
    ("chart", "-o"): "chart-file",
}
"""Documents of another form than their command's usual one, by a word of the command line."""
FREE = {
    ("design", "values"),
    ("catalog-show", "values"),
    ("draw", ""),
    ("build", "policy"),
    ("sensitivity", "policy"),
}
"""Values that are a file or a form of their own, described elsewhere: a system's file, a network's text form."""
NULLABLE = {
    ("generate", "text"), ("verify", "checkpoint"), ("verify", "skipped"), ("verify", "set"), ("explore", "best"),
    ("compress", "machine"), ("cost", "buyers"), ("cost", "against_price"), ("build", "worst"), ("simulate", "context"),
}  # fmt: skip
"""Values that may be null where the samples have none that is."""
ADDED: dict[str, dict[str, Any]] = {
    "rtl": {"simulated": {"type": "array"}, "coverage": {}, "synthesized": {}, "mapped": {}},
    "chip": {
        "link": {"type": "object"}, "units": {"type": "array"}, "build_seconds": {"type": "number"},
        "seconds": {"type": "number"}, "fault": {"type": ["string", "null"]},
        "runs": {"type": "array", "items": {"type": "object"}}, "answers": {"type": "array"},
        "task": {"type": "string"},
    },
}  # fmt: skip
BY_HAND: dict[str, dict[str, Any]] = {
    "adapter-check": {
        "adapter": "string", "fits": "boolean", "weights": "integer", "neurons": "integer",
        "projections": "integer", "hardwired_weights": "integer", "share": "number", "budget": "number",
    },
    "run": {
        "task": "string", "numerics": "string", "outputs": "integer", "sequences": "integer",
        "positions": ["integer", "array"], "seconds": "number", "files": "array",
    },
    "score-signals": {
        "task": "string", "numerics": "string", "sequences": "integer", "positions": ["integer", "array"],
        "seconds": "number",
    },
    "serve-self-test": {"passed": "boolean"},
    "serve": {"address": "string"},
    "demo": {
        "model": "string", "technology": "string", "build": "string", "design": "string",
        "pages": "object", "steps": "array", "seconds": "number",
    },
}  # fmt: skip
OPTIONAL: dict[str, dict[str, Any]] = {
    "run": {"answers": "array"},
    "score-signals": {
        "accuracy": "number", "f1": "number", "mae": "number", "rmse": "number", "count": "integer",
    },
}  # fmt: skip
"""Keys of those that are there only where they were asked for."""
MAPS = {
    "matrices", "roles", "errors", "bands", "blocks_mm2", "breakdown", "waiting", "utilisation",
    "verdicts", "gains", "changes", "best_by_kv_bits", "policy", "files", "layers", "values", "needs",
    "masks", "kinds", "points",
}  # fmt: skip
"""Objects whose keys are names: of matrices, resources, blocks, fields of a file."""


def main() -> None:
    found: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for words, document in documents(Path(folder)):
            found.setdefault(name_of(words), []).append(document)
            print(" ".join(words), flush=True)
    OUT.mkdir(exist_ok=True)
    for name, samples in found.items():
        schema = described(name, inferred(samples))
        if added := ADDED.get(name):
            schema["properties"] |= {
                k: v for k, v in added.items() if k not in schema["properties"]
            }
        write(name, schema)
    for name, keys in BY_HAND.items():
        every = keys | OPTIONAL.get(name, {})
        properties = {key: {"type": type_} for key, type_ in every.items()}
        write(
            name,
            described(name, {"type": "object", "properties": properties, "required": list(keys)}),
        )
    write("error", ERROR)


ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "description": "Name of the error's class, as in hnlpu.errors"},
                "message": {"type": "string", "description": "The line that standard error has"},
                "exit_code": {"type": "integer", "const": 2, "x-kind": "given"},
            },
            "required": ["type", "message", "exit_code"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}  # fmt: skip


def documents(folder: Path) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each sample with the document that it prints."""
    import os

    os.chdir(folder)
    Path("text.txt").write_text("def add(a, b):\n    return a + b\n" * 4)
    Path("trace.csv").write_text("arrival_s,prefill,decode\n" + "0.1,32,8\n" * 20)
    for words in SAMPLES:
        done = CliRunner().invoke(app, [*words, "--json"])
        if done.exit_code not in (0, 1) or (done.exception and not done.stdout):
            sys.exit(f"{words}: {done.exception or done.output}")
        yield words, json.loads(done.stdout)


def name_of(words: tuple[str, ...]) -> str:
    """The schema that a command line's document has."""
    for (command, mark), name in DOCUMENTS.items():
        if words[0] == command and mark in words:
            return name
    return "-".join(words[:2]) if words[0] == "catalog" else words[0]


def inferred(samples: list[Any], key: str = "") -> dict[str, Any]:
    """What all samples of a value are."""
    types = sorted({type_of(value) for value in samples})
    if "integer" in types and "number" in types:
        types.remove("integer")
    if "number" in types and "null" not in types:
        types.append("null")  # infinite or undefined: JSON has no such number
    schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    objects = [value for value in samples if isinstance(value, dict)]
    if objects and (
        key in MAPS or any(not re.fullmatch(r"[a-z0-9_$]+", k) for o in objects for k in o)
    ):
        inner = [value for one in objects for value in one.values()]
        schema["additionalProperties"] = inferred(inner) if inner else True
    elif objects:
        keys = list(dict.fromkeys(k for one in objects for k in one))
        schema["properties"] = {k: inferred([o[k] for o in objects if k in o], k) for k in keys}
        schema["required"] = [k for k in keys if all(k in one for one in objects)]
    arrays = [value for value in samples if isinstance(value, list)]
    if arrays and (inner := [value for one in arrays for value in one]):
        schema["items"] = inferred(inner)
    return schema


def type_of(value: Any) -> str:
    names = {
        dict: "object",
        list: "array",
        str: "string",
        bool: "boolean",
        int: "integer",
        float: "number",
    }
    return "null" if value is None else names[type(value)]


UNITS = {
    "mm2": "mm2", "musd": "million US dollars", "usd": "US dollars", "us": "microseconds", "s": "seconds",
    "seconds": "seconds", "w": "watts", "bytes": "bytes", "mb": "megabytes", "bits": "bits",
    "tco2e": "tonnes of CO2 equivalent", "per_second": "per second", "share": "of one", "mtoken":
    "per million tokens", "cycles": "clock cycles", "t": "tonnes",
}  # fmt: skip


def described(
    name: str, schema: dict[str, Any], key: str = "", kind: str | None = None
) -> dict[str, Any]:
    """The schema with the unit and the kind of every number."""
    kind = kind_of(name, key, kind)
    if (name, key) in FREE:
        schema.clear()
        schema["type"] = "object"
        return schema
    types = schema.get("type", [])
    if (name, key) in NULLABLE and "null" not in types and types != "array":
        schema["type"] = types = [types, "null"] if isinstance(types, str) else [*types, "null"]
    if (name, key) == (
        "index",
        "pays_above",
    ) and "object" not in types:  # "never" where no volume is enough
        schema["type"] = types = ["number", "string", "null"]
    if {"number", "integer"} & set([types] if isinstance(types, str) else types):
        schema["x-kind"] = kind
        for ending, unit in UNITS.items():
            if key == ending or key.endswith("_" + ending):
                schema["description"] = unit
    for k, inner in schema.get("properties", {}).items():
        described(name, inner, k, kind)
    if isinstance(schema.get("additionalProperties"), dict):
        described(name, schema["additionalProperties"], key, kind)
    if "items" in schema:
        described(name, schema["items"], key, kind)
    return schema


COMMANDS = {
    "simulate": "simulated", "explore": "simulated", "sensitivity": "computed", "serve": "measured",
    "doctor": "measured", "catalog-list": "given", "catalog-techniques": "given", "demo": "measured",
}  # fmt: skip
RULES = {
    **dict.fromkeys(("seconds", "first_token_seconds", "peak_memory_mb", "bytes"), "measured"),
    **dict.fromkeys(
        ("context", "contexts", "batch", "users", "seed", "trials", "systems", "respins", "grid", "chips",
         "slots", "kv_bits", "output_share", "utilisation_given", "budget", "tokens", "prompt", "policy",
         "changes", "design", "token", "rows", "years"), "given",
    ),
    **dict.fromkeys(("bound_tokens_per_second", "kv_bytes", "kv_capacity_bytes", "kv_in_hbm", "die_mm2",
                     "blocks_mm2", "tco_musd", "tco2e", "power_w", "masks_per_chip", "state"), "computed"),
    **dict.fromkeys(("published_rates", "claimed", "published_parameters", "published_active", "rates", "price", "claimed_tokens_per_second",
                     "published_tokens_per_second", "bandwidth_gb_per_second"), "published"),
}  # fmt: skip


DECIDES = ("design", "explore", "cost", "place", "index", "build", "sweep", "compress")
"""Commands that say how many chips it takes, rather than being told."""


def kind_of(name: str, key: str, outer: str | None) -> str:
    """The kind of a number, by its own name, by that of what it stands in, or by its command."""
    if (name, key) == ("generate", "tokens_per_second"):
        return "measured"
    if key in ("chips", "grid", "slots", "years") and name in DECIDES:
        return "computed"
    found = RULES.get(key) or outer or COMMANDS.get(name, "computed")
    assert found in KINDS, found
    return found


def write(name: str, schema: dict[str, Any]) -> None:
    command = (
        f"hnlpu {name.replace('-', ' ')} --json"
        if name != "error"
        else "any command that ends with 2"
    )
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": command, **schema
    }  # fmt: skip
    (OUT / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
