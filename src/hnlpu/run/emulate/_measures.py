"""How right a network of signals is: answers beside labels -> accuracy and F1, or mean errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidInput

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ClassScore:
    """Of answers that are classes.

    `accuracy` is the share that is right; `f1` the mean over classes, each of the same weight, of the
    harmonic mean of precision and recall, 0 where a class is never right; a class counts that a label or
    an answer names.  `by_class` has each one's, and `count` the answers.
    """

    accuracy: float
    f1: float
    by_class: dict[int, float]
    count: int


@dataclass(frozen=True)
class ErrorScore:
    """Of answers that are numbers: mean absolute error, root of the mean square, how many numbers."""

    mae: float
    rmse: float
    count: int


def score_classes(answers: Array, labels: Array, classes: int) -> ClassScore:
    """Classes [n] beside labels [n], of `classes` in all; raises InvalidInput for labels that are none."""
    whole = np.asarray(labels)
    if whole.shape != answers.shape:
        raise InvalidInput(f"labels {_shape(whole)}: there are answers {_shape(answers)}")
    wrong = (np.floor(whole) != whole) | (whole < 0) | (whole >= classes)
    if wrong.any():
        raise InvalidInput(
            f"label {whole[wrong][0]:g}: classes are whole numbers from 0 to {classes - 1}"
        )
    numbers = whole.astype(np.int64)
    by_class = {}
    for one in np.union1d(numbers, answers).tolist():
        hits = int(np.sum((numbers == one) & (answers == one)))
        named = int(np.sum(numbers == one) + np.sum(answers == one))
        by_class[int(one)] = 2 * hits / named
    f1 = sum(by_class.values()) / len(by_class)
    return ClassScore(float(np.mean(numbers == answers)), f1, by_class, numbers.size)


def score_numbers(answers: Array, labels: Array) -> ErrorScore:
    """Numbers beside labels of the same shape; raises InvalidInput."""
    if labels.shape != answers.shape:
        raise InvalidInput(f"labels {_shape(labels)}: there are answers {_shape(answers)}")
    error = answers.astype(np.float64) - labels.astype(np.float64)
    return ErrorScore(
        float(np.mean(np.abs(error))), float(np.sqrt(np.mean(error**2))), int(error.size)
    )


def _shape(x: Array) -> str:
    return "[" + ", ".join(map(str, x.shape)) + "]"
