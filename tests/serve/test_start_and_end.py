"""How a server begins and ends: damaged builds, ports in use, SIGTERM under load."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import threading
import time

import pytest
import requests

LONG = {"model": "build", "prompt": "import os\n", "ignore_eos": True, "temperature": 0}


@pytest.mark.parametrize("file", ["manifest.json", "weights", "tokenizer.json"])
def test_a_damaged_build_is_refused(cli, bundled, tmp_path, file):
    folder = tmp_path / "build"
    shutil.copytree(bundled, folder)
    path = sorted((folder / file).iterdir())[0] if (folder / file).is_dir() else folder / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, out, err = cli("serve", folder, "--port", "0")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert path.name in err
    path.unlink()
    assert cli("serve", folder, "--port", "0")[0] == 2


def test_what_is_no_build_is_refused(cli, bundled, tiny_checkpoint, tmp_path):
    assert "is a checkpoint; hardwire it first" in cli("serve", tiny_checkpoint)[2]
    assert cli("serve", tmp_path / "nothing")[0] == 2
    for options, words in (
        (("--host", "0.0.0.0"), "give an --api-key"),
        (("--host", "no.such.name.invalid", "--api-key", "12345678"), "cannot listen there"),
        (("--port", "70000"), "--port 70000"),
        (("--cache-mb", "0"), "--cache-mb: must be at least 1"),
        (("--timeout", "nan"), "--timeout: must be above 0"),
        (("--timeout", "inf"), "--timeout: must be above 0"),
        (("--queue", "0"), "--queue: must be above 0"),
        (("--shutdown-seconds", "-1"), "--shutdown-seconds: must be 0 or more"),
        (("--rate-limit", "0"), "--rate-limit: must be above 0"),
        (("--max-body-mb", "nan"), "--max-body-mb: must be from 0 to"),
        (("--max-body-mb", "0"), "--max-body-mb: must be above 0"),
        (("--rows", "0"), "--rows: must be at least 1"),
        (("--api-key", "short"), "--api-key: a key must be 8 or more"),
        (("--api-key-file", "/no/such/file"), "cannot be read"),
    ):
        code, out, err = cli("serve", bundled, *options)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err


def test_a_port_in_use_is_refused(cli, server, bundled):
    code, _, err = cli("serve", bundled, "--port", str(server.port))
    assert code == 2
    assert "cannot listen there" in err


def ask(server, answers, i, **more):
    """Stream a completion; what came of it: the text and the last words."""
    text, last = "", None
    try:
        with requests.post(
            server.address + "/v1/completions", json=LONG | {"stream": True} | more,
            stream=True, timeout=60,
        ) as response:  # fmt: skip
            if response.status_code != 200:
                answers[i] = (response.status_code, response.json()["error"]["code"])
                return
            for line in response.iter_lines():
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    last = event["error"]["code"]
                else:
                    text += event["choices"][0]["text"]
                    last = event["choices"][0]["finish_reason"]
        answers[i] = (text, last)
    except requests.RequestException as error:
        answers[i] = (text, type(error).__name__)


def end_under_load(server, lengths):
    """SIGTERM while completions of these lengths run; what each client heard, and the exit code."""
    answers = {}
    threads = [
        threading.Thread(target=ask, args=(server, answers, i), kwargs={"max_tokens": n})
        for i, n in enumerate(lengths)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while sum(server.get("/health").json()[key] for key in ("running", "waiting")) < len(lengths):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(requests.ConnectionError):
        server.get("/health")
    for thread in threads:
        thread.join(120)
    return [answers[i] for i in range(len(lengths))], server.process.wait(30)


def test_sigterm_lets_requests_finish(start, bundled, model):
    # long enough that the first is still at work when the last has come, on a busy machine, too
    with start(bundled, "--rows", "2", "--shutdown-seconds", "120") as server:
        answers, code = end_under_load(server, [500] * 20)
    text = "".join(t.text for t in model.generate(LONG["prompt"], max_tokens=500, ignore_end=True))
    assert answers == [(text, "length")] * 20
    assert code == 0


def test_sigterm_reports_what_cannot_finish(start, bundled, model):
    with start(bundled, "--shutdown-seconds", "0.5", "--rows", "2") as server:
        answers, code = end_under_load(server, [1000] * 20)
    expected = "".join(
        t.text for t in model.generate(LONG["prompt"], max_tokens=1000, ignore_end=True)
    )
    for text, last in answers:
        assert last == "shutting_down"
        assert expected.startswith(text)
        assert len(text) < len(expected)
    assert any(text for text, _ in answers)
    assert code == 0


def test_an_idle_connection_does_not_delay_the_end(start, bundled):
    with start(bundled) as server, socket.create_connection(("127.0.0.1", server.port)):
        began = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 10
