"""What makes no sense is refused with the name of the thing and what is allowed."""

import json
import re
import shutil

import pytest
from machines import make_machine, make_model

from hnlpu.cli import main
from hnlpu.errors import DoesNotFit, InvalidData, InvalidInput
from hnlpu.system.design import open_target
from hnlpu.system.machine import (
    Load,
    Requests,
    parse_grid,
    poisson_requests,
    read_trace,
    simulate,
    token_work,
)

SYSTEM = "hnlpu-asplos26"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "header must be arrival_s,prefill,decode"),
        ("arrival,prefill,decode\n", 1, "header must be"),
        ("arrival_s,prefill,decode\n", None, "no request"),
        ("arrival_s,prefill,decode\n0,5\n", 2, "2 fields"),
        ("arrival_s,prefill,decode\n-1,5,5\n", 2, "no time in s"),
        ("arrival_s,prefill,decode\nnan,5,5\n", 2, "no time in s"),
        ("arrival_s,prefill,decode\n5 ms,5,5\n", 2, "no time in s"),
        ("arrival_s,prefill,decode\n0,0,5\n", 2, "prefill '0'; give whole tokens"),
        ("arrival_s,prefill,decode\n0,5,-2\n", 2, "decode '-2'; give whole tokens"),
        ("arrival_s,prefill,decode\n0,5,1e9\n", 2, "decode '1e9'; give whole tokens"),
    ],
)
def test_bad_traces_name_file_and_line(tmp_path, text, line, says):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(InvalidData) as caught:
        read_trace(path)
    where = f"{path}:{line}: " if line else f"{path}: "
    assert str(caught.value).startswith(where)
    assert says in str(caught.value)


def test_a_trace_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(InvalidData, match="cannot be read"):
        read_trace(tmp_path / "no.csv")
    path = tmp_path / "binary.csv"
    path.write_bytes(b"arrival_s,prefill,decode\n\xff\xfe")
    with pytest.raises(InvalidData, match="not UTF-8"):
        read_trace(path)


def test_a_good_trace_is_read(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s, prefill, decode\n0,10,2\n\n0.5,7,1\n")
    requests = read_trace(path)
    assert requests.arrival.tolist() == [0, 0.5]
    assert requests.prefill.tolist() == [10, 7]
    assert requests.tokens == 11 + 7


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere: no such system, model, folder or file; systems are h100"),
        (["h100", "--model", "gpt-oss-120b"], "no [machine] to simulate"),
        ([SYSTEM, "--model", "gpt-9"], "gpt-9: no such system, model"),
        ([SYSTEM, "--model", "deepseek-v3", "--grid", "4x4"], "needs 168 chips"),
        ([SYSTEM, "--context", "0"], "--context 0: give 1 to"),
        ([SYSTEM, "--context", "-5"], "--context -5: give 1 to"),
        ([SYSTEM, "--context", "99999999"], "--context 99999999: give 1 to"),
        ([SYSTEM, "--batch", "0"], "--batch 0: give 1 to"),
        ([SYSTEM, "--contention", "some"], "choose from none, full"),
        ([SYSTEM, "--kv-bits", "7"], "choose from 4, 8, 16"),
        ([SYSTEM, "--grid", "4by4"], "give rows x columns"),
        ([SYSTEM, "--grid", "0x4"], "give rows x columns"),
        ([SYSTEM, "--grid", "1x4"], "the grid has 4"),
        ([SYSTEM, "--grid", "1x128"], "128 columns of chips share 64 query heads"),
        ([SYSTEM, "--prefill", "10"], "together"),
        ([SYSTEM, "--rate", "10"], "need --prefill"),
        ([SYSTEM, "--prefill", "10", "--decode", "0"], "--decode 0: give 1"),
        ([SYSTEM, "--prefill", "10", "--decode", "1", "--rate", "-1"], "--rate -1: give requests"),
        ([SYSTEM, "--prefill", "10", "--decode", "1", "--requests", "0"], "--requests 0: give 1"),
        ([SYSTEM, "--tokens", "0"], "--tokens 0: give at least 1"),
        ([SYSTEM, "--prefill", "1000000", "--decode", "9"], "takes hours; give --tokens N"),
        ([SYSTEM, "--tokens", "999999999"], "takes hours; give --tokens N"),
        ([SYSTEM, "--trace", "x.csv", "--rate", "1"], "leave --prefill"),
        ([SYSTEM, "--trace", "no-such.csv"], "no-such.csv: cannot be read"),
    ],
)
def test_the_command_line_refuses_in_one_line(capsys, monkeypatch, arguments, says):
    monkeypatch.setattr("sys.argv", ["hnlpu", "simulate", *arguments, "--json"])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert json.loads(printed.out)["error"]["message"] == printed.err.removeprefix("hnlpu: ")[:-1]
    assert printed.err.count("\n") == 1
    assert says in printed.err


def test_a_wrong_unit_in_a_system_names_file_line_and_key(tmp_path):
    from importlib import resources

    text = (resources.files("hnlpu.system.catalog") / "systems" / f"{SYSTEM}.toml").read_text()
    path = tmp_path / "mine.toml"
    for old, new, says in (
        ('unit = "GB/s", source = "the paper: CXL', 'unit = "GB", source = "the paper: CXL',
         "machine.link.bandwidth: unit 'GB' is not one of GB/s"),
        ("rows = 4\n", "rows = 5\n", "a grid of 5 x 4"),
        ("stages = 6\n", "stages = 0\n", "machine.stages"),
        ("kv_bits = 16\n", "kv_bits = 16\nwarp = 9\n", "machine.warp: unknown key"),
        ("value = 1.0, unit = \"GHz\"", "value = -1.0, unit = \"GHz\"", "out of range"),
    ):  # fmt: skip
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(InvalidData) as caught:
            open_target(str(path))
        assert str(caught.value).startswith(f"{path}:")
        assert says in str(caught.value)


def test_a_system_of_ones_own_is_simulated(tmp_path, capsys, monkeypatch):
    from importlib import resources

    text = (resources.files("hnlpu.system.catalog") / "systems" / f"{SYSTEM}.toml").read_text()
    path = tmp_path / "faster.toml"
    path.write_text(text.replace("value = 128, unit", "value = 256, unit", 1))
    monkeypatch.setattr("sys.argv", ["hnlpu", "simulate", str(path), "--json", "--tokens", "8000"])
    with pytest.raises(SystemExit) as caught:
        main()
    facts = json.loads(capsys.readouterr().out)
    assert not caught.value.code
    assert facts["bottleneck"] == "vector unit"
    assert facts["tokens_per_second"] > 260_000


def test_one_sequence_must_fit():
    spec = make_machine(buffer_bytes=1e3, hbm_bytes=0.0)
    with pytest.raises(InvalidInput, match="one sequence of 1000 positions needs"):
        simulate(spec, make_model(), Load(1000, 1))


@pytest.mark.parametrize(
    ("field", "value"),
    [("rows", 0), ("clock", -1e9), ("slots", 10**6), ("rows", 1000), ("attention_latency", 0.5),
     ("kv_bits", 0), ("collective", "magic"), ("sampling", "none"), ("hbm_bandwidth", 0.0)],
)  # fmt: skip
def test_absurd_machines_are_refused_by_field(field, value):
    with pytest.raises(InvalidInput, match=field.split("_")[0]):
        make_machine(**{field: value})


def test_grids_that_no_model_can_be_split_over():
    with pytest.raises(InvalidInput, match="columns of chips share 4 query heads"):
        token_work(make_model(), 1, 8)
    with pytest.raises(InvalidInput, match="rows of chips share 64 inputs"):
        token_work(make_model(), 65, 1)
    assert parse_grid(" 4x8 ") == (4, 8)


def test_a_model_that_no_grid_of_that_size_holds():
    with pytest.raises(DoesNotFit, match=r"llama-3\.1-70b needs"):
        open_target(SYSTEM, "llama-3.1-70b", grid=(4, 4))
    # without a grid it has as many chips as it needs, as `hnlpu cost` counts them
    assert open_target(SYSTEM, "llama-3.1-70b").specification.chips == 35


def test_arrivals_are_random_with_the_rate_asked_for_and_the_same_for_a_seed():
    requests = poisson_requests(4000, 50.0, 10, 5, seed=3)
    assert isinstance(requests, Requests)
    assert requests.arrival[-1] == pytest.approx(80, rel=0.05)
    assert (requests.arrival == poisson_requests(4000, 50.0, 10, 5, seed=3).arrival).all()


def test_a_build_is_simulated_on_the_chips_that_it_is_placed_on(tiny_build, cli):
    code, printed, _ = cli("simulate", tiny_build, "--context", "64", "--json")
    assert code == 0
    facts = json.loads(printed)
    assert facts["grid"] == [1, 1]
    assert facts["slots"] == 6 * 2
    assert facts["sliding"]
    assert facts["tokens_per_second"] > 0
    assert facts["breakdown"]["communication"] == 0
    assert cli("simulate", tiny_build, "--model", "gpt-oss-20b")[0] == 2
    assert cli("simulate", tiny_build, "--grid", "2x2")[0] == 2
    code, _, error = cli("simulate", tiny_build.parent)
    assert code == 2
    assert "not a build" in error


@pytest.mark.parametrize("name", ["My Model (v2)", "-", "Über_8B", "x" * 100])
def test_a_checkpoint_is_simulated_whatever_its_folder_is_called(
    tiny_checkpoint, tmp_path, cli, name
):
    shutil.copytree(tiny_checkpoint, tmp_path / name)
    code, printed, error = cli("simulate", tmp_path / name, "--context", "64", "--json")
    assert (code, error) == (0, "")
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", json.loads(printed)["model"])


def test_a_checkpoint_is_simulated_before_it_is_built(tiny_checkpoint, cli):
    code, printed, _ = cli("simulate", tiny_checkpoint, "--context", "64", "--json")
    assert code == 0
    facts = json.loads(printed)
    assert facts["grid"] == [1, 1]
    code, printed, _ = cli(
        "simulate", tiny_checkpoint, "--context", "64", "--grid", "2x2", "--json"
    )
    assert code == 0
    assert json.loads(printed)["chips"] == 4
