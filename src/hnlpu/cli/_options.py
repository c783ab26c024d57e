"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from hnlpu.errors import InvalidInput

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Workers = Annotated[int | None, typer.Option(help="Threads or processes (default: one per core).")]
Ray = Annotated[
    str | None,
    typer.Option(help="Ray cluster to work on, or 'local' to start one with --workers."),
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Build directory, or checkpoint folder.")
]
BuildArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Build directory.")]
Tokens = Annotated[str | None, typer.Option(metavar="IDS", help="Token ids, as in 1,2,3.")]
FloatActivations = Annotated[
    bool, typer.Option("--float-activations", help="Do not round activations to integers.")
]
NumericsOption = Annotated[
    str,
    typer.Option(
        "--numerics",
        metavar="float|chip|machine",
        help="All but the matrices in float32, in fixed point, or in that of all its chips.",
    ),
]
ExchangeOption = Annotated[
    str | None,
    typer.Option(
        "--exchange",
        metavar="FORMAT",
        help="What crosses links (machine): exact, vector, fp16, int8, or KIND=FORMAT,...",
    ),
]
GridOption = Annotated[
    str | None, typer.Option("--grid", metavar="RxC", help="Chips (machine; default: as placed).")
]
AdapterOption = Annotated[
    Path | None, typer.Option(metavar="PATH", help="LoRA adapter to run beside the wires.")
]
DeviceOption = Annotated[
    str, typer.Option(metavar="cpu|cuda|cuda:N|interpreter", help="Where the layers run.")
]
FamilyOption = Annotated[
    Path | None,
    typer.Option(
        "--family", metavar="FILE.py", help="A family of your own, which reads this checkpoint."
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task", metavar="classify|regress|stream", help="What to answer (default: the model's)."
    ),
]


def chosen_family(path: Path | None) -> Any:
    """The family of a user's file; raises InvalidInput."""
    from hnlpu.model.families import open_family

    return None if path is None else open_family(path)


def chosen_numerics(name: str, *, of_signals: bool = False) -> Any:
    """The name of numerics; raises InvalidInput."""
    if name not in ("float", "chip") and (of_signals or name != "machine"):
        takes = "float or chip, which signals have" if of_signals else "float, chip or machine"
        raise InvalidInput(f"--numerics {name}: give {takes}")
    return name


def chosen_task(name: str | None) -> Any:
    """The task that is asked for, or None; raises InvalidInput."""
    from hnlpu.model.families import Task

    if name is not None and name not in get_args(Task):
        raise InvalidInput(f"--task {name}: give {', '.join(get_args(Task))}")
    return name


def adapted(model: Any, adapter: Path | None, device: str) -> Any:
    """The model, with the adapter or on the device that is asked for: all generate and score."""
    if adapter is None and device == "cpu":
        return model
    from hnlpu.run.engine import Adapted

    return Adapted(model, adapter, device)


def read_text(path: Path) -> str:
    """A UTF-8 file; raises InvalidInput."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: is not UTF-8 text (byte {error.start})") from None
