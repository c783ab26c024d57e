"""Files with one number or one line spoilt: refused with their line, or priced and audited."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hnlpu.errors import HnlpuError, InvalidData
from hnlpu.system.audit import audit
from hnlpu.system.catalog import load_model, load_system
from hnlpu.system.cost import OwnershipPlan, cost, subject_of_model

TEXT = (resources.files("hnlpu.system.catalog") / "systems" / "hnlpu-asplos26.toml").read_text()
NUMBERS = [m.span(1) for m in re.finditer(r"(?:value|low|high|\w+) = (-?[\d.e]+)\b", TEXT)]
LINES = [i for i, line in enumerate(TEXT.splitlines()) if line.strip()]
SPOILT = st.sampled_from(
    ["0", "-1", "1", "7", "1e-12", "1e12", "1e300", "nan", "inf", "true", '"much"', "[]", "{}", ""]
)
MODEL = load_model("gpt-oss-120b")
SETTINGS = settings(
    max_examples=150, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def stands_or_is_refused(path: Path) -> None:
    """Load, price and audit; only errors that name the file or an option may come."""
    said = ""
    try:
        system = load_system(str(path))
        found = cost(
            system, subject_of_model(MODEL), OwnershipPlan(tokens_per_second=1e5), trials=20
        )
        assert not found.value.tco_musd < 0
        audit(system, MODEL)
    except InvalidData as error:
        said = str(error)
        told = said.startswith(str(path)) or "hnlpu-asplos26" in said
    except HnlpuError as error:
        said, told = str(error), True
    assert not said or (told and "\n" not in said), said


@SETTINGS
@given(st.sampled_from(NUMBERS), SPOILT)
def test_a_spoilt_number(tmp_path: Path, span: tuple[int, int], new: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT[: span[0]] + new + TEXT[span[1] :])
    stands_or_is_refused(path)


@SETTINGS
@given(st.sampled_from(LINES), st.sampled_from(["drop", "twice", "cut", "noise"]))
def test_a_spoilt_line(tmp_path: Path, number: int, how: str) -> None:
    lines = TEXT.splitlines()
    line = lines[number]
    lines[number] = {
        "drop": "", "twice": f"{line}\n{line}", "cut": line[: len(line) // 2], "noise": f"{line} = ]",
    }[how]  # fmt: skip
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines))
    stands_or_is_refused(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 5000, b"name = 1", b"a" * 2**23])
def test_what_is_no_data_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=r"mine\.toml"):
        load_system(str(path))
