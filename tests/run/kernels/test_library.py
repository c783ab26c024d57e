"""Compiling and finding the library; what happens without it."""

import numpy as np
import pytest

from hnlpu.run import kernels
from hnlpu.run.emulate import (
    InterpretedModel,
    _projection,
    _taped,
    open_language_model,
    ways_to_sum,
)
from hnlpu.run.kernels import _compile, _library, address_of


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the source, to compile or to spoil."""
    for path in (*_compile.FOLDER.glob("*.c"), *_compile.FOLDER.glob("*.h")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(_compile, "FOLDER", tmp_path)
    return tmp_path


def no_zig(monkeypatch):
    monkeypatch.setattr(_compile, "zig_compiler", lambda: None)


def test_the_digest_follows_the_source(source):
    before = _compile.digest()
    (source / "kernels.h").write_text("/* other */\n")
    assert _compile.digest() != before


def test_a_library_of_another_source_is_not_used(source, monkeypatch):
    if not _library.LIBRARY.exists():
        pytest.skip("no library here")
    assert _compile.is_current(_library.LIBRARY)
    (source / "pool.h").write_text("/* other */\n")
    assert not _compile.is_current(_library.LIBRARY)
    found, reason = _library.load.__wrapped__()
    assert found is None
    assert "python -m hnlpu.run.kernels" in reason


def test_what_does_not_load_is_told(tmp_path, monkeypatch):
    broken = tmp_path / "_kernels.so"
    monkeypatch.setattr(_library, "LIBRARY", broken)
    assert "not compiled" in _library.load.__wrapped__()[1]
    broken.write_bytes(b"no library")
    assert "does not load" in _library.load.__wrapped__()[1]


def test_without_a_compiler_one_line_says_so(source, monkeypatch):
    no_zig(monkeypatch)
    monkeypatch.setattr(_compile, "system_compiler", lambda: None)
    with pytest.raises(_compile.CannotCompile, match="ziglang"):
        _compile.compile_library(source / "new.so")
    assert not (source / "new.so").exists()


def test_a_compiler_that_fails_leaves_nothing_behind(source, monkeypatch):
    if _compile.system_compiler() is None:
        pytest.skip("no system compiler here")
    no_zig(monkeypatch)
    (source / "kernels.c").write_text("this is no C\n")
    before = sorted(source.iterdir())
    with pytest.raises(_compile.CannotCompile, match=r"kernels\.c"):
        _compile.compile_library(source / "new.so")
    assert sorted(source.iterdir()) == before


def test_without_the_library_numba_gives_the_same_bits(tiny_build, monkeypatch):
    tokens = np.array([1, 2, 3, 4, 5, 6, 7])
    model = open_language_model(tiny_build).transformer
    quick = model.forward(tokens, model.new_cache())
    for module in (_projection, _taped):
        monkeypatch.setattr(module, "load", lambda: (None, "not here"))
    monkeypatch.setattr(kernels, "load", lambda: (None, "not here"))
    assert list(ways_to_sum()) == ["packed digits", "matrix product"]
    assert kernels.instruction_sets() == ()
    model = open_language_model(tiny_build).transformer
    assert isinstance(model, InterpretedModel)
    assert model.taped is None
    plain = model.forward(tokens, model.new_cache())
    assert np.array_equal(quick.view(np.int32), plain.view(np.int32))


def test_an_address_is_that_of_numpy():
    whole = np.arange(12.0)
    fixed = whole.copy()
    fixed.flags.writeable = False
    for array in (whole, whole[3:], fixed, np.empty((0, 4)), whole.reshape(3, 4)):
        assert address_of(array) == array.ctypes.data
