"""At install: compile the C kernels, with the system's compiler or else with zig's from PyPI.

zig (100 MB) is asked for only where there is no compiler.  Where neither works
the package installs all the same: its Numba kernels do the work, more slowly,
and `hnlpu doctor` says so.

With HNLPU_MANYLINUX=2_28 in the environment, zig compiles for that version of glibc and the wheel is
tagged manylinux_2_28: it runs wherever glibc is no older.  `make wheel` does that, and tries it.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "src/hnlpu"
MODEL = "checkpoints/stdlib-140k"
COMPILE = "src/hnlpu/run/kernels/_compile.py"
ZIG = "ziglang>=0.13"


def _glibc() -> str:
    """The oldest glibc that a wheel is for, as its tag has it (2_28); empty: that of this machine."""
    return os.environ.get("HNLPU_MANYLINUX", "")


def _is_ours(name: str) -> bool:
    return name.split(".")[0] == "hnlpu"


class KernelsBuildHook(BuildHookInterface[Any]):
    """Puts `_kernels.so` beside its source, and from there into the wheel."""

    def _compile(self) -> ModuleType:
        path = Path(self.root) / COMPILE
        spec = importlib.util.spec_from_file_location("hnlpu_kernels_compile", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # its neighbours, without hnlpu's own __init__
        folder = ModuleType("hnlpu")
        folder.__path__ = [str(Path(self.root) / PACKAGE)]
        before = {name: found for name, found in sys.modules.items() if _is_ours(name)}
        for name in before:
            del sys.modules[name]
        sys.modules["hnlpu"] = folder
        try:
            spec.loader.exec_module(module)
        finally:
            for name in [name for name in sys.modules if _is_ours(name)]:
                del sys.modules[name]
            sys.modules.update(before)
        return module

    def dependencies(self) -> list[str]:
        """What the build environment needs beside hatchling."""
        compile_ = self._compile()
        if _glibc():
            return [ZIG]
        if compile_.is_current() or compile_.system_compiler() or not compile_.can_compile():
            return []
        return [ZIG]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the library of this very source is there already."""
        if self.target_name != "wheel":
            return
        if version != "editable":  # the model of `hnlpu demo`; a checkout has it anyway
            build_data["force_include"][str(Path(self.root) / MODEL)] = f"hnlpu/{MODEL}"
        compile_ = self._compile()
        if _glibc():
            self._manylinux(compile_, build_data)
            return
        try:
            if not compile_.is_current():
                compile_.compile_library()
        except compile_.CannotCompile as problem:
            self.app.display_warning(f"no C kernels, Numba's instead: {problem}")
            return
        build_data["pure_python"] = False
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{tag}"
        if version != "editable":
            build_data["force_include"][str(compile_.LIBRARY)] = "hnlpu/run/kernels/_kernels.so"

    def _manylinux(self, compile_: ModuleType, build_data: dict[str, Any]) -> None:
        """Compile for an older glibc, beside what an editable install uses."""
        machine, glibc = platform.machine(), _glibc()
        made = Path(self.directory) / f"_kernels-{glibc}.so"
        made.parent.mkdir(parents=True, exist_ok=True)
        compile_.compile_library(made, f"{machine}-linux-gnu.{glibc.replace('_', '.')}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_{glibc}_{machine}"
        build_data["force_include"][str(made)] = "hnlpu/run/kernels/_kernels.so"
