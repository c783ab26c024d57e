"""`numba.njit` that loads Numba with the first call.

Numba and the compiler behind it take 100 MB of memory and half a second; where
the C kernels do the work, as they do for a served model, nothing calls for them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class _Late:
    """A function that is handed to Numba when it is called, from Python or from a compiled one."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]):
        functools.update_wrapper(self, function)
        self._function, self._options = function, options

    @functools.cached_property
    def dispatcher(self) -> Any:
        """Numba's own."""
        from numba import njit as compile_late

        made = compile_late(**self._options)(self._function)
        _forget_unreadable(made)
        return made

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.dispatcher(*arguments, **named)

    @property
    def _numba_type_(self) -> Any:
        """What compiled code that names this function takes it for (`numba.typeof` asks)."""
        from numba import typeof

        return typeof(self.dispatcher)  # type: ignore[no-untyped-call]  # Numba has no types


def _forget_unreadable(dispatcher: Any) -> None:
    """Remove what an earlier version of our code cached, if it names classes that are no more.

    Numba reads the types in its index before it looks whether the source is still the same.
    """
    file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if file is None:
        return
    try:
        file._load_index()
    except Exception:  # whatever unpickling of names that are gone raises
        with contextlib.suppress(OSError):
            Path(file._index_path).unlink()


def njit(**options: Any) -> Callable[[Function], Function]:
    """A decorator as `numba.njit(**options)`; the options are those of Numba."""

    def decorate(function: Function) -> Function:
        late: Any = _Late(function, options)
        return late  # type: ignore[no-any-return]  # called like the function itself

    return decorate
