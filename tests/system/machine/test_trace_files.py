"""Public traces are read by the names of their columns, and what they leave out is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import make_machine, make_model

from hnlpu.errors import HnlpuError, InvalidData, InvalidInput
from hnlpu.system.machine import Load, Requests, TraceFacts, read_trace, simulate, uniform_requests

SYSTEM = "hnlpu-asplos26"
Cli = Callable[..., tuple[int, str, str]]


def read(folder: Path, text: str | bytes) -> Requests:
    path = folder / "trace.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_trace(path)


def facts_of(requests: Requests) -> TraceFacts:
    assert requests.trace is not None
    return requests.trace


SAME = ([0.0, 0.5, 2.25], [374, 87, 1024], [44, 1, 256])
PUBLIC = {
    "Azure LLM inference": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.9799600,374,44\n"
        "2023-11-16 18:17:04.4799600,87,1\n"
        "2023-11-16 18:17:06.2299600,1024,256\n"
    ),
    "Azure LLM inference ": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2024-05-10 00:00:00.009930+00:00,374,44\n"
        "2024-05-10 00:00:00.509930+00:00,87,1\n"
        "2024-05-10 02:00:02.259930+02:00,1024,256\n"
    ),
    "Azure LLM inference  ": (
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\r\n"
        "2023-12-31T23:59:59Z,0,374,44\r\n"
        "2023-12-31T23:59:59.5Z,1,87,1\r\n"
        "2024-01-01T00:00:01.25Z,0,1024,256\r\n"
    ),
    "Vidur": "arrived_at,num_prefill_tokens,num_decode_tokens\n7,374,44\n7.5,87,1\n9.25,1024,256\n",
    "Vidur ": (
        "request_id,arrived_at,num_prefill_tokens,num_decode_tokens,session_id\n"
        "0,1.5,374.0,44.0,a\n1,2.0,87.0,1.0,b\n2,3.75,1024.0,256.0,c\n"
    ),
    "BurstGPT": (
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        '5,1,0.1,ChatGPT,374,44,418,Conversation log\n5.5,,"0,2",GPT-4,87,1,88,"API, log"\n'
        "7.25,,,GPT-4,1024,256,1280,API log\n"
    ),
    "BurstGPT ": (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "1700158623.5,ChatGPT,374,44,418,x\n1700158624,GPT-4,87,1,88,x\n"
        "1700158625.75,GPT-4,1024,256,1280,x\n"
    ),
    "Mooncake": (
        '{"timestamp": 1000, "input_length": 374, "output_length": 44, "hash_ids": [0, 1]}\n'
        '{"hash_ids": [], "output_length": 1, "input_length": 87, "timestamp": 1500}\n\n'
        '{"timestamp": 3250, "input_length": 1024, "output_length": 256, "hash_ids": [7]}'
    ),
    "Qwen-Bailian": (
        '{"chat_id": 1, "timestamp": 1.0, "input_length": 374, "output_length": 44, "type": "text"}\n'
        '{"chat_id": 2, "timestamp": 1.5, "input_length": 87, "output_length": 1, "type": "text"}\n'
        '{"chat_id": 3, "timestamp": 3.25, "input_length": 1024, "output_length": 256, "type": "x"}\n'
    ),
    "hnlpu": "arrival_s,prefill,decode\n0,374,44\n0.5,87,1\n2.25,1024,256\n",
    "hnlpu ": 'decode,"prefill", Arrival_S \n"44","374","0"\n\n1,87,0.5\n , , \n256, 1024, 2.25\n\n',
    "hnlpu  ": "arrival_s,prefill,decode\n1700158623,374,44\n1700158623.5,87,1\n1700158625.25,1024,256\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", PUBLIC)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_each_kind_of_trace_is_the_same_requests(tmp_path: Path, kind: str, mark: bytes) -> None:
    found = read(tmp_path, mark + PUBLIC[kind].encode())
    assert found.arrival == pytest.approx(SAME[0], abs=1e-6)
    assert (found.prefill.tolist(), found.decode.tolist()) == SAME[1:]
    facts = facts_of(found)
    assert (facts.layout, facts.rows, facts.empty, facts.late) == (kind.strip(), 3, 0, 0)


BY_LINE = [kind for kind, text in PUBLIC.items() if "{" not in text and "\n\n" not in text]


@pytest.mark.parametrize("kind", BY_LINE)
def test_rows_in_any_order_are_put_in_order_and_counted(tmp_path: Path, kind: str) -> None:
    header, first, *rest = PUBLIC[kind].splitlines()
    found = read(tmp_path, "\n".join([header, *rest, first]))
    assert found.arrival == pytest.approx(SAME[0], abs=1e-6)
    assert (found.prefill.tolist(), found.decode.tolist()) == SAME[1:]
    assert facts_of(found).late == 1


def test_failed_requests_are_left_out_and_counted(tmp_path: Path) -> None:
    header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    rows = "1,a,50,0,50,x\n2,a,50,7,57,x\n3,a,0,7,7,x\n4,a,0,0,0,x\n6,a,9,1,10,x\n"
    found = read(tmp_path, header + rows)
    assert found.arrival.tolist() == [0, 4]
    facts = facts_of(found)
    assert (facts.rows, facts.empty, facts.start) == (5, 3, 2)
    assert facts.unused == ("Model", "Total tokens", "Log Type")
    with pytest.raises(InvalidData, match="none of its 1 requests has a prompt and an answer"):
        read(tmp_path, header + "1,a,50,0,50,x\n")


def test_times_of_our_own_are_the_machines(tmp_path: Path) -> None:
    found = read(tmp_path, "arrival_s,prefill,decode\n5,1,1\n")
    assert found.arrival.tolist() == [5]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("time,prompt,answer\n1,2,3\n", 1, "found 'time', 'prompt', 'answer'"),
        ("time,prompt,answer\n1,2,3\n", 1, "TIMESTAMP,ContextTokens,GeneratedTokens (Azure"),
        ("num_prefill_tokens,num_decode_tokens\n1,2\n", 1, "arrived_at,num_prefill_tokens"),
        ("arrival_s;prefill;decode\n0;1;1\n", 1, "found 'arrival_s;prefill;decode'"),
        ("arrival_s,prefill,decode,Prefill\n0,1,1,1\n", 1, "column 'prefill' is there twice"),
        ("", 1, "found nothing"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-13-16 18:17:03,1,1\n", 2, "is no time in s"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n", 2, "or a date such as"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n1700158623979,1,1\n", 2, "give seconds, not ms or us"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n-5,1,1\n", 2, "is no time in s"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\ninf,1,1\n", 2, "is no time in s"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n1_0,1,1\n", 2, "is no time in s"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n5,,1\n", 2, "ContextTokens ''; give whole tokens, 0 to"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n5,1.5,1\n", 2, "ContextTokens '1.5'; give whole"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n5,1,nan\n", 2, "GeneratedTokens 'nan'; give whole"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n5,1,-1\n", 2, "GeneratedTokens '-1'"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n5,1," + "9" * 5000 + "\n", 2, "GeneratedTokens"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n5,1,1,1\n", 2, "4 fields; the header has 3"),
        ('TIMESTAMP,ContextTokens,GeneratedTokens\n5,1,"1\n5,1,1\n', 3, "is not CSV"),
        ('{"timestamp": 1, "input_length": 1}\n', 1, "found 'timestamp', 'input_length'"),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1}\n{"timestamp": 1}\n', 2, "lacks 'input"),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1}\n[1]\n', 2, "is no JSON object"),
        ('{"timestamp": 1, "input_length": true, "output_length": 1}\n', 1, "input_length 'true'"),
        ('{"timestamp": "2024-01-01 00:00:00", "input_length": 1, "output_length": 1}\n', 1, "no time in ms"),
        ('{"timestamp": 1, "input_length": 1, "output_length": [1]}\n', 1, "output_length 'a list'"),
        ("{\n", 1, "is no JSON object"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    with pytest.raises(InvalidData) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/trace.csv:{line}: "), said
    assert says in said
    assert said.isprintable()


@given(st.text(alphabet='0123456789.,:-+"{}[] \n\r\t\0eETZab', max_size=60))
@settings(max_examples=300)
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    said, found = "", None
    try:
        found = read(folder, "TIMESTAMP,ContextTokens,GeneratedTokens\n" + text)
    except HnlpuError as error:
        said = str(error)
    assert "trace.csv" in said if found is None else np.all(np.diff(found.arrival) >= 0)


def test_folders_and_devices_are_no_traces(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="it is no file"):
        read_trace(tmp_path)
    if Path("/dev/zero").exists():
        with pytest.raises(InvalidData, match="it is no file"):
            read_trace(Path("/dev/zero"))


def test_what_is_longer_than_the_model_is_left_out_of_a_trace_and_counted(
    tmp_path: Path, cli: Cli
) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        "arrival_s,prefill,decode\n0.001,1000,10\n0,131071,1\n0.002,131072,1\n0.003,200000,5\n"
    )
    code, printed, error = cli("simulate", SYSTEM, "--trace", path, "--tokens", "2000", "--json")
    assert (code, error) == (0, "")
    assert json.loads(printed)["trace"] == {
        "kind": "hnlpu", "rows": 4, "requests": 2, "left_out_empty": 0, "left_out_too_long": 2,
        "put_in_order": 1, "unused_columns": [], "starts_at_s": 0.0,
    }  # fmt: skip
    code, printed, _ = cli("simulate", SYSTEM, "--trace", path, "--tokens", "2000")
    assert code == 0
    assert (
        "trace (hnlpu): 2 of 4 requests; 2 longer than the model's positions left out; 1 put"
        in (" ".join(printed.split()))
    )
    path.write_text("arrival_s,prefill,decode\n0,131072,1\n")
    code, printed, error = cli("simulate", SYSTEM, "--trace", path)
    assert (code, printed, error.count("\n")) == (2, "", 1)
    assert "each of the 1 requests is longer than the model's 131,072 positions" in error


def test_requests_of_options_must_fit_the_model(cli: Cli) -> None:
    code, printed, error = cli(
        "simulate", SYSTEM, "--prefill", "131072", "--decode", "1", "--requests", "2"
    )
    assert (code, printed, error.count("\n")) == (2, "", 1)
    assert "131,073 tokens, model gpt-oss-120b has 131,072 positions" in error


def test_the_simulation_itself_refuses_what_no_model_can_take() -> None:
    model = make_model().model_copy(update={"positions": 64})
    requests = uniform_requests(2, 60, 5)
    with pytest.raises(InvalidInput, match="65 tokens, model small has 64 positions"):
        simulate(make_machine(), model, Load(64, 2, requests))
    mixed = replace(requests, prefill=np.array([60, 59]))
    assert mixed.within(64).prefill.tolist() == [59]
    assert simulate(make_machine(), model, Load(64, 2, mixed.within(64))).tokens_simulated == 63


def test_a_public_trace_is_simulated_whole(tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(PUBLIC["Azure LLM inference"])
    code, printed, _ = cli("simulate", SYSTEM, "--trace", path, "--json")
    facts = json.loads(printed)
    assert code == 0
    assert facts["trace"]["kind"] == "Azure LLM inference"
    assert facts["tokens_simulated"] == sum(SAME[1]) + sum(SAME[2]) - 3
