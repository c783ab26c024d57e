"""Ids of requests, the log of them, and a server that lives but takes no more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from unittest.mock import Mock

import anthropic
import openai
import pytest

import hnlpu
from hnlpu.serve import _facts
from hnlpu.serve._journal import Record, RequestLog

BODY = {"prompt": "import os\n", "max_tokens": 5, "temperature": 0, "ignore_eos": True}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_answer_has_an_id(server):
    ids = set()
    for _ in range(2):
        for response in (
            server.post("/v1/completions", BODY),
            server.post("/v1/completions", BODY | {"stream": True}),
            server.post("/v1/completions", {}),
            server.get("/nothing"),
            server.get("/", headers={"Host": "elsewhere.example"}),
        ):
            ids.add(response.headers["X-Request-Id"])
    assert len(ids) == 10
    client = openai.OpenAI(base_url=server.address + "/v1", api_key="x", max_retries=0)
    answer = client.completions.create(model="build", prompt="a", max_tokens=1)
    assert answer._request_id
    with pytest.raises(openai.NotFoundError) as error:
        client.completions.create(model="other", prompt="a")
    assert error.value.request_id
    other = anthropic.Anthropic(base_url=server.address, api_key="x", max_retries=0)
    said = [{"role": "user", "content": "a"}]
    assert other.messages.create(model="build", messages=said, max_tokens=1)._request_id


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1:2.3_4", True), ("a b", False), ("x" * 129, False), ("", False)]
)
def test_an_id_of_the_clients_is_kept_where_it_is_one(server, given, kept):
    response = server.get("/health", headers={"X-Request-Id": given})
    assert (response.headers["X-Request-Id"] == given) == kept


def test_every_request_is_a_line_of_the_log(start, bundled, tmp_path):
    log = tmp_path / "requests.jsonl"
    log.write_text('{"before": 1}\n')
    with start(bundled, "--request-log", str(log)) as server:
        server.post("/v1/completions", BODY, headers={"X-Request-Id": "first"})
        server.post("/v1/completions", BODY | {"n": 2, "stream": True, "prompt": list(range(40))})
        server.post("/v1/completions", {"prompt": 5})
        server.get("/nothing")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port)) as gone,
        ):
            body = json.dumps(BODY | {"max_tokens": 900, "n": 8}).encode()
            head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            gone.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            while server.get("/health").json()["running"] == 0:
                pass
        while server.get("/health").json()["running"]:
            pass
    before, first, streamed, wrong, missing, *rest = lines(log)
    assert before == {"before": 1}
    assert first["request_id"] == "first"
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/completions", 200)
    assert (first["sequences"], first["new_tokens"], first["ended"]) == (1, 5, ["length"])
    assert 0 < first["first_token_seconds"] <= first["seconds"]
    assert (streamed["sequences"], streamed["prompt_tokens"]) == (2, 80)
    assert (streamed["new_tokens"], streamed["ended"]) == (10, ["length", "length"])
    assert (wrong["status"], wrong["sequences"], wrong["first_token_seconds"]) == (400, 0, None)
    assert (missing["path"], missing["status"]) == ("/nothing", 404)
    (left,) = [line for line in rest if line["path"] == "/v1/completions"]
    assert left["status"] == 499
    assert "import os" not in log.read_text()  # what is said is nobody's business


def test_a_log_that_cannot_be_opened_is_refused(cli, bundled, tmp_path):
    code, out, err = cli("serve", bundled, "--request-log", tmp_path / "none" / "log")
    assert (code, out) == (2, "")
    assert "--request-log" in err
    assert err.count("\n") == 1


def test_a_full_disk_is_told_once(caplog):
    journal = RequestLog(None)
    journal._file = Mock()
    journal._file.write.side_effect = OSError(28, "No space left on device")
    for _ in range(3):
        journal.write(Record("a", "GET", "/", None), 200, 0.1)
    assert caplog.text.count("No space left") == 1
    journal._file.write.side_effect = None
    journal.write(Record("a", "GET", "/", None), 200, 0.1)
    assert json.loads(journal._file.write.call_args[0][0])["request_id"] == "a"


@pytest.mark.parametrize(
    ("alive", "closing", "waiting", "health", "ready", "told"),
    [
        (True, False, 0, 200, 200, "ok"),
        (True, True, 0, 200, 503, "closing"),
        (True, False, 4, 200, 503, "full"),
        (False, False, 0, 503, 503, "stopped"),
    ],
)
def test_to_live_and_to_be_ready_are_two_things(alive, closing, waiting, health, ready, told):
    runner = Mock(alive=alive, queue=4)
    runner.snapshot.return_value = Mock(closing=closing, waiting=waiting, running=0)
    router = _facts.routes(Mock(documented={}, service=Mock(runner=runner)))
    ends = {route.path: route.endpoint for route in router.routes}
    for path, status in (("/health", health), ("/ready", ready)):
        answer = asyncio.run(ends[path]())
        assert (answer.status_code, json.loads(answer.body)["status"]) == (status, told)


def test_a_server_is_ready(server):
    for answer in (server.get("/ping"), server.post("/ping", {}), server.get("/health")):
        assert answer.json()["status"] == "ok"
    assert server.get("/version").json() == {"version": hnlpu.__version__}
    assert server.get("/ready").json() == {"status": "ok", "running": 0, "waiting": 0}
