"""Files of signals, answers and states: .npy, .npz and .csv to arrays and back, each whole or refused.

x.npy  [positions, n], or [sequences, positions, n]      x.csv  a line a position, n numbers
x.npz  the same, an array an input by its name            one line of names may stand first
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import SignalModel, States

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Signals:
    """Sequences of inputs [positions, ...] by name; `many` says whether the file has an axis of them."""

    sequences: tuple[Mapping[str, Array], ...]
    many: bool

    @property
    def positions(self) -> int:
        """Positions of all sequences together."""
        return sum(len(next(iter(one.values()))) for one in self.sequences)


def read_signals(path: Path, model: SignalModel) -> Signals:
    """The sequences of a file for a model; raises InvalidInput."""
    wanted = model.inputs
    if path.suffix == ".npz":
        found = _arrays(path)
        if set(found) != set(wanted):
            raise InvalidInput(
                f"{path}: holds {', '.join(sorted(found))}; the network takes {', '.join(wanted)}"
            )
    elif len(wanted) > 1:
        raise InvalidInput(
            f"{path}: the network takes {', '.join(wanted)}; give an .npz file with an array of each"
        )
    else:
        found = {name: read_numbers(path) for name in wanted}
    many = _are_many(path, found, wanted)
    for name, array in found.items():
        if not array.size:
            raise InvalidInput(f"{path}: holds no positions")
        most = np.abs(array).max()
        with np.errstate(over="ignore"):
            rounded = np.float32(most)  # as the model takes it
        if model.numerics == "chip" and rounded >= model.largest_signal:
            raise InvalidInput(
                f"{path}: holds {most:g}; chip numerics have numbers below "
                f"{model.largest_signal:g}: scale the signals as the network was trained"
            )
        if not np.isfinite(rounded):
            raise InvalidInput(f"{path}: holds {most:g}, which float32 has not; scale the signals")
        if not many:
            found[name] = array[None]
    counts = {array.shape[:2] for array in found.values()}
    if len(counts) != 1:
        raise InvalidInput(f"{path}: its inputs have different numbers of positions")
    ((sequences, _),) = counts
    each = tuple({name: x[n] for name, x in found.items()} for n in range(sequences))
    return Signals(each, many)


def _are_many(path: Path, found: dict[str, Array], wanted: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether arrays have an axis of sequences; rows of a line are brought to their input's shape."""
    several = set()
    for name, shape in wanted.items():
        array = found[name]
        if array.ndim == 2 and len(shape) != 1 and array.shape[1] == math.prod(shape):
            array = found[name] = array.reshape(len(array), *shape)
        if (
            array.ndim not in (len(shape) + 1, len(shape) + 2)
            or array.shape[-len(shape) :] != shape
        ):
            sizes = ", ".join(map(str, shape))
            raise InvalidInput(
                f"{path}: has the shape {list(array.shape)}; input {name} is [positions, {sizes}] or "
                f"[sequences, positions, {sizes}]"
            )
        several.add(array.ndim == len(shape) + 2)
    if len(several) != 1:
        raise InvalidInput(f"{path}: some inputs have an axis of sequences, others have none")
    return several.pop()


def read_numbers(path: Path) -> Array:
    """The numbers of an .npy or .csv file, finite, as float64 [...]; raises InvalidInput."""
    if path.suffix == ".npy":
        return _finite(path, _loaded(path))
    if path.suffix == ".csv":
        return _csv(path)
    raise InvalidInput(f"{path}: give a file that ends in .npy or .csv")


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: is no file of numpy's ({error})") from None


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file by name."""
    file = _loaded(path)
    if isinstance(file, np.ndarray):
        raise InvalidInput(f"{path}: is one array; an .npz file has several by name")
    try:
        with file:
            return {name: _finite(path, file[name]) for name in file.files}
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidInput(f"{path}: is damaged ({error})") from None


def _finite(path: Path, array: Any) -> Array:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise InvalidInput(f"{path}: holds no numbers")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{path}: holds NaN or infinity")
    return numbers


def _csv(path: Path) -> Array:
    try:
        text = path.read_text("utf-8-sig")  # spreadsheets put a mark before the first number
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: is not UTF-8 text (byte {error.start})") from None
    rows: list[list[float]] = []
    for number, cells in enumerate(_lines(path, text), 1):
        if not any(cell.strip() for cell in cells):
            continue
        found = [_number(cell) for cell in cells]
        if number == 1 and all(x is None for x in found):
            continue  # names of the columns
        row = [x for x in found if x is not None]
        if len(row) != len(found):
            raise InvalidInput(f"{path}: line {number} holds what is no number")
        if rows and len(row) != len(rows[0]):
            raise InvalidInput(
                f"{path}: line {number} has {len(row)} numbers, others have {len(rows[0])}"
            )
        rows.append(row)
    if not rows:
        raise InvalidInput(f"{path}: holds no numbers")
    return _finite(path, np.array(rows))


def _lines(path: Path, text: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text))
    except csv.Error as error:
        raise InvalidInput(f"{path}: is no table of numbers ({error})") from None


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python alone reads 1_0 as ten
    except ValueError:
        return None


def encode_answers(path: Path, answers: Sequence[Array], many: bool) -> bytes:
    """The bytes of a file of answers, whole numbers as such; raises InvalidInput."""
    stacked = np.stack(list(answers)) if many else np.asarray(answers[0])
    buffer = io.BytesIO()
    if path.suffix == ".npy":
        np.save(buffer, stacked, allow_pickle=False)
        return buffer.getvalue()
    if path.suffix != ".csv":
        raise InvalidInput(f"{path}: give a file that ends in .npy or .csv")
    if stacked.ndim > 2:
        raise InvalidInput(
            f"{path}: outputs at every position of several sequences have three axes; give an .npy file"
        )
    table = (
        stacked.reshape(len(stacked), -1) if stacked.ndim == 2 or many else stacked.reshape(1, -1)
    )
    lines = (",".join(repr(value) for value in row) for row in table.tolist())
    return "".join(f"{line}\n" for line in lines).encode()


def encode_states(model: SignalModel, states: States) -> bytes:
    """The bytes of an .npz file of states, to go on from."""
    arrays: dict[str, Any] = {f"state.{name}": x for name, x in states.entries.items()}
    arrays |= {"identity": np.array(model.identity), "position": np.array(states.position)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def read_states(path: Path, model: SignalModel) -> States:
    """The states of a file that `encode_states` made of this model; raises InvalidInput."""
    file = _loaded(path)
    try:
        with file:
            found = {name: file[name] for name in file.files}
        identity, position = str(found.pop("identity")), int(found.pop("position"))
    except (
        AttributeError, KeyError, TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile,
        zlib.error,
    ):  # fmt: skip
        raise InvalidInput(f"{path}: holds no states of a network") from None
    if identity != model.identity:
        raise InvalidInput(
            f"{path}: holds the states of another model or of other numerics; start without"
        )
    empty = model.start().entries
    entries = {name.removeprefix("state."): array for name, array in found.items()}
    alike = entries.keys() == empty.keys() and all(
        entries[name].dtype == empty[name].dtype
        and entries[name].shape[1:] == empty[name].shape[1:]
        for name in empty
    )
    if not alike or position < 0:
        raise InvalidInput(f"{path}: is damaged; start without it")
    return States(position, MappingProxyType(entries))
