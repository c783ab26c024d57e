"""slang as a lint of a written folder: it must have nothing to say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest


def expect_clean(
    folder: Path,
    top: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    files: Sequence[str] = (),
) -> None:
    """Fail where slang warns of module `top` of some files in `folder`, by default those of its chip.f."""
    from pyslang.driver import Driver

    monkeypatch.chdir(folder)
    driver = Driver()
    driver.addStandardArgs()
    named = " ".join(files or Path("chip.f").read_text().split())
    assert driver.parseCommandLine(f"slang -Wdefault -Wextra --top {top} {named}")
    assert driver.processOptions()
    assert driver.parseAllSources()
    compilation = driver.createCompilation()
    driver.reportCompilation(compilation, True)
    driver.runAnalysis(compilation)
    assert driver.reportDiagnostics(True), capfd.readouterr().err[:4000]
    captured = capfd.readouterr()
    assert "warning" not in captured.out + captured.err, captured.err[:4000]
