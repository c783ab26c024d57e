"""The tables of docs/families.md, from the families themselves and from the tests that hold them.

python scripts/family_tables.py          writes them
"""

from __future__ import annotations

import re
import sys
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from marked import remade
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from hnlpu.errors import HnlpuError
from hnlpu.model.families import Config, DecoderConfig, Family, SignalConfig, families
from hnlpu.model.families._config import HARMLESS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "families.md"
PROMISES: dict[str, str] = {
    "its logits in float are the reader's within 1e-3": (
        "tests/model/families/test_families.py::test_logits_are_those_of_another_reader"
    ),
    "every tensor of the checkpoint is taken, once and whole": (
        "tests/model/families/test_families.py::test_every_tensor_is_taken_once_and_whole"
    ),
    "a sequence whole, step by step or cut anywhere: the same bits": (
        "tests/model/families/test_families.py::test_any_split_gives_the_same_bits"
    ),
    "a state saved, restored or rewound: the same bits": (
        "tests/model/families/test_families.py::test_saved_restored_and_rewound"
    ),
    "composites done at once have the bits of their steps": (
        "tests/model/families/test_families.py::test_spans_done_at_once_have_the_bits_of_their_steps"
    ),
    "a request alone and among others: the same tokens": (
        "tests/run/engine/test_promise.py::test_who_gives_way_loses_no_bit"
    ),
    "a build decodes to the checkpoint, its sums are the golden integers, its metal reads back": (
        "tests/silicon/hardwire/test_built_families.py::test_all_of_it_is_proved"
    ),
    "metal's values in float give the bits of the checkpoint's network with those values": (
        "tests/silicon/hardwire/test_built_families.py::test_metal_says_what_the_checkpoint_says"
    ),
    "every command that is for all families runs on it": (
        "tests/cli/test_family_commands.py::test_what_works_for_every_family"
    ),
    "a chip's fixed point gives the integers that docs/vector-unit.md defines": (
        "tests/run/emulate/test_chip_networks_by_hand.py::test_logits_are_those_of_the_page"
    ),
    "and agrees with float on what it says": (
        "tests/cli/test_family_commands.py::test_chip_numerics_work_for_every_family"
    ),
}
"""What holds for every family, and the test that is run for each."""


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def head(*names: str) -> list[str]:
    return [row(*names), row(*["---"] * len(names))]


def known() -> list[tuple[str, Family[Any]]]:
    """Our families of text by model type, those of other packages left out."""
    return [pair for pair in _ours() if pair[1].of_text]


def _ours() -> list[tuple[str, Family[Any]]]:
    ours = [
        (name, family)
        for name, family in families().items()
        if family.network.__module__.startswith("hnlpu.")
    ]
    return sorted(ours, key=lambda pair: pair[0])


def of_signals() -> list[str]:
    """A row per model type of those that take numbers."""
    rows = head("`model_type`", "networks", "reader", "keys read beside the common ones")
    for name, family in _ours():
        if not family.of_text:
            own = keys_read(family) - set(SignalConfig.model_fields)
            keys = ", ".join(f"`{key}`" for key in sorted(own)) or "none"
            rows.append(row(f"`{name}`", models(family), reader(name, family), keys))
    return rows


def models(family: Family[Any]) -> str:
    """What people call them: what the family says, or the first line of its file."""
    about = sys.modules[family.network.__module__].__doc__ or ""
    return family.models or about.split("\n")[0].rstrip(".")


def reader(name: str, family: Family[Any]) -> str:
    return family.reader or ("transformers" if name in CONFIG_MAPPING else "its paper")


def all_families() -> list[str]:
    """A row per model type."""
    rows = head("`model_type`", "models", "reader", "keys read beside the common ones")
    for name, family in known():
        keys = ", ".join(f"`{key}`" for key in sorted(keys_read(family) - EVERYWHERE))
        rows.append(row(f"`{name}`", models(family), reader(name, family), keys))
    return rows


EVERYWHERE = {*Config.model_fields, *DecoderConfig.model_fields, "rope_parameters"}
"""Keys of all families, and of all decoders."""


def keys_read(family: Family[Any]) -> set[str]:
    fields = set(family.config.model_fields)
    return fields - {"rope", "local_rope"} | ({"rope_parameters"} if "rope" in fields else set())


def promises() -> list[str]:
    """A row per promise."""
    rows = head("promise", "test", "run on")
    return rows + [row(text, f"`{of}`", run_on(of)) for text, of in PROMISES.items()]


def run_on(test: str) -> str:
    """Whether a test takes every family, or one of each form."""
    file, _, name = test.partition("::")
    before = (ROOT / file).read_text("utf-8").split(f"def {name}(")[0].rpartition("\n\n\n")[2]
    own = file == "tests/model/families/test_families.py"
    return "all" if own or "EVERY" in before else "one of each form"


def alike() -> list[str]:
    """The families that tests on one of each form leave out."""
    text = (ROOT / "tests" / "family_builds.py").read_text("utf-8")
    (names,) = re.findall(r"^ALIKE = (\{.*?\})", text, re.DOTALL | re.MULTILINE)
    return [", ".join(f"`{name}`" for name in sorted(literal_eval(names)))]


def refused() -> list[str]:
    """A row per family: its gaps, a line each."""
    rows = head("family", "refused")
    for name, family in known():
        keys = [f"`{key}`" for key in keys_not_read(name, family)]
        gaps = [*_activations(family), *_values(family), *_ropes(family), *keys, *family.gaps]
        rows.append(row(f"`{name}`", "<br>".join(gaps) or "nothing that its reader reads"))
    return rows


def _values(family: Family[Any]) -> Iterator[str]:
    """Keys of which only some values are done."""
    for key, field in sorted(family.config.model_fields.items()):
        if key in Config.model_fields or key == "hidden_act":
            continue
        taken = [part for part in _parts(field.annotation) if get_origin(part) is Literal]
        values = [value for part in taken for value in get_args(part)]
        if values and set(values) != {True, False}:
            yield f"`{key}` other than {_either(values)}"


def _activations(family: Family[Any]) -> Iterator[str]:
    if issubclass(family.config, DecoderConfig) and "hidden_activation" not in keys_read(family):
        yield f"`hidden_act` other than {_either(family.config.activations)}"


def _either(values: Iterable[object]) -> str:
    return " or ".join(f"`{_json(value)}`" for value in values)


def _parts(annotation: Any) -> list[Any]:
    """The members of a union, or of what a tuple holds."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, tuple):
        return [p for part in get_args(annotation) for p in _parts(part) if p is not NoneType]
    return [annotation]


def _json(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ropes(family: Family[Any]) -> Iterator[str]:
    if issubclass(family.config, DecoderConfig):
        missing = sorted(set(ROPE_INIT_FUNCTIONS) - set(family.config.rope_kinds))
        if missing:
            yield f"a `rope_type` that is {_either(missing)}"
        endless = {"dynamic", "longrope"} & set(family.config.rope_kinds)
        if endless:
            yield f"texts past the border of a `rope_type` {_either(sorted(endless))} (below)"


def keys_not_read(name: str, family: Family[Any]) -> dict[str, Any]:
    """Keys that transformers has for this model type and the family refuses, with their defaults."""
    if name not in CONFIG_MAPPING:
        return {}
    values = CONFIG_MAPPING[name]().to_dict()
    ours = keys_read(family) | set(HARMLESS) | set(family.config.harmless)
    found = {}
    for key in sorted(values.keys() - ours - PreTrainedConfig().to_dict().keys()):
        if not key.startswith("_") and key in _normalised(family, {key: values[key]}):
            found[key] = values[key]
    return found


def _normalised(family: Family[Any], values: dict[str, Any]) -> dict[str, Any]:
    """A key that an older generation of the file has is a field under another name."""
    try:
        return family.config.normalise(values)
    except HnlpuError:
        return {}


def harmless() -> list[str]:
    """A row per key, with the families that pass it over; most do so in all."""
    rows = head("key", "reason", "families")
    found = dict.fromkeys(HARMLESS.items(), "all")
    for name, family in known():
        for pair in family.config.harmless.items():
            before = found.get(pair)
            found[pair] = f"{before}, `{name}`" if before else f"`{name}`"
    return rows + [row(f"`{key}`", why, of) for (key, why), of in sorted(found.items())]


TABLES: dict[str, Callable[[], list[str]]] = {
    "families": all_families,
    "of signals": of_signals,
    "promises": promises,
    "alike": alike,
    "refused": refused,
    "harmless": harmless,
}


def page(text: str) -> str:
    """`text` with its tables made anew."""
    return remade(text, TABLES)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
