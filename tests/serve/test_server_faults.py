"""What goes wrong on a network, and what clients send that nobody should."""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from pathlib import Path

import pytest
import requests

OK = "import os\n"


def metric(server, name):
    text = server.get("/metrics").text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def settles(server):
    """Whether nothing runs any more, within ten seconds, and all pages have been given back."""
    return _within_ten_seconds(lambda: _under_way(server) == 0) and (
        metric(server, "hnlpu_cache_pages_used ") == 0
    )


def begins(server):
    """Whether something runs, within ten seconds."""
    return _within_ten_seconds(lambda: _under_way(server) > 0)


def _under_way(server):
    health = server.get("/health").json()
    return health["running"] + health["waiting"]


def _within_ten_seconds(holds):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


def raw(server, body, *, path="/v1/completions", headers=""):
    """A socket on which a request has been sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def long_request(**more):
    body = {"model": "build", "prompt": OK, "max_tokens": 900, "ignore_eos": True}
    return json.dumps(body | more).encode()


@pytest.fixture(scope="module")
def slow(start, bundled):
    """A server that makes one token at a time, however many are asked for."""
    with start(bundled, "--rows", "1", "--timeout", "20") as found:
        yield found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_vanishes_is_not_served_further(slow, stream, reset):
    server = slow
    before = metric(server, "hnlpu_generated_tokens_total")
    connection = raw(server, long_request(stream=stream, n=4))
    if stream:
        assert connection.recv(4096)
    assert begins(server)
    if reset:  # the other end hears of a reset, not of an end
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert settles(server)
    assert metric(server, "hnlpu_generated_tokens_total") - before < 4 * 900


def test_a_slow_reader_gets_everything_and_holds_nobody_up(server):
    connection = raw(server, long_request(max_tokens=300, stream=True, temperature=0))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    began = time.monotonic()
    server.complete(OK, max_tokens=5)
    assert time.monotonic() - began < 10
    received = b""
    while b"[DONE]" not in received:
        part = connection.recv(2000)
        assert part
        received += part
        time.sleep(0.002)
    connection.close()
    assert received.count(b"data: {") == 300
    assert settles(server)


def test_a_reader_that_never_reads_is_cut_off(start, bundled):
    with start(bundled, "--timeout", "2") as server:
        # more than the sockets' buffers hold
        connection = raw(server, long_request(stream=True, n=60, logprobs=20, max_tokens=500))
        assert begins(server)
        assert settles(server)
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"5", b'"text"', b"{}", b"\xff\xfe", b"{'model': 'build'}",
        b'{"model":"build"}', b'{"prompt":[]}', b"[" * 100_000, b'{"a":' * 50_000,
        b'{"model":"build","prompt":"a","max_tokens":' + b"9" * 5000 + b"}",
        b'{"model":"build","prompt":"a","max_tokens":1e999}',
        b'{"model":"build","prompt":"\\ud800"}',
        b'{"model":"build","prompt":"a","\\ud800":1}',
        b'{"model":"build","prompt":"a","logit_bias":{"\\ud800":1}}',
        b'{"model":"build","prompt":"a","structured_outputs":{"json":{"\\ud800":{}}}}',
    ],
    ids=range(19),
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/embeddings"])
def test_malformed_requests_get_an_answer_in_the_usual_shape(server, body, path):
    response = requests.post(
        server.address + path, data=body, headers={"Content-Type": "application/json"}, timeout=60
    )
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -0.5}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 1.5}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"min_tokens": 17}, None),
        ({"allowed_token_ids": []}, "allowed_token_ids"),
        ({"allowed_token_ids": [99999]}, None),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": float("nan")}, "max_tokens"),
        ({"max_tokens": 5000}, "max_tokens"),
        ({"max_tokens": 2**70}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 10**6}, "n"),
        ({"seed": 2**63}, "seed"),
        ({"seed": "one"}, "seed"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"presence_penalty": float("-inf")}, "presence_penalty"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"logit_bias": {"5": float("nan")}}, "logit_bias"),
        ({"logit_bias": {"five": 1}}, None),
        ({"logit_bias": {"99999": 1}}, None),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stop_token_ids": [-1]}, "stop_token_ids.0"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, None),
        ({"prompt": [2048]}, None),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [["a"]]}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
    ids=str,
)
def test_parameters_that_make_no_sense_are_named(server, change, param):
    body = json.dumps({"model": "build", "prompt": "a"} | change)  # NaN as Python writes it
    response = requests.post(
        server.address + "/v1/completions", data=body, timeout=60,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    if param is not None:
        assert error["param"].startswith(param)
    assert "/" not in error["message"].replace("/v1/models", "")  # no paths, no links


def test_a_prompt_of_ten_megabytes_is_refused_with_an_answer(server):
    response = server.post("/v1/completions", {"model": "build", "prompt": "a" * 10_000_000})
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"
    # in pieces without a length it is not taken either
    pieces = (b"x" * 100_000 for _ in range(100))
    response = requests.post(server.address + "/v1/completions", data=pieces, timeout=60)
    assert response.status_code == 413
    # nor is one that fits the body but not the context
    response = server.post("/v1/completions", {"model": "build", "prompt": "ab " * 300_000})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_unicode_of_every_plane(server, model):
    """64 characters of every plane goes there and back."""
    for plane in range(17):
        points = range(plane << 16, (plane + 1) << 16, 1024)
        text = "".join(chr(p + 65) for p in points if not 0xD800 <= p < 0xE000)
        echoed = server.complete(text, max_tokens=0, echo=True)
        assert echoed["choices"][0]["text"] == text
        assert echoed["usage"]["prompt_tokens"] == len(model.encode(text))
    chat = {"model": "build", "messages": [{"role": "user", "content": "\U0010ffff\x00é"}]}
    assert server.post("/v1/chat/completions", chat | {"max_tokens": 2}).status_code == 200


def test_what_is_not_there(server):
    for method, path, status in (
        ("GET", "/v2", 404), ("GET", "/v1/completions", 405), ("DELETE", "/v1/models", 405),
        ("GET", "/v1/models/..%2f..%2fetc", 404), ("GET", "/v1/models/%ed%a0%80", 404), ("GET", "/page/../../etc/passwd", 404),
    ):  # fmt: skip
        response = requests.request(method, server.address + path, timeout=60)
        assert response.status_code == status, path
        assert response.json()["error"]["message"]


@pytest.mark.parametrize("junk", [b"\x00" * 100, b"GET / FTP/1.1\r\n\r\n", b"G" * 100_000])
def test_bytes_that_are_no_http(server, junk):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(junk)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert server.get("/health").status_code == 200


def test_a_request_that_takes_too_long_is_ended(start, bundled):
    with start(bundled, "--timeout", "0.5", "--rows", "1") as server:
        body = {"model": "build", "prompt": OK, "max_tokens": 1000, "ignore_eos": True, "n": 8}
        response = server.post("/v1/completions", body)
        assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
        response = server.post("/v1/completions", body | {"stream": True})
        *_, error, end = response.text.strip().split("\n\n")
        assert json.loads(error.removeprefix("data: "))["error"]["code"] == "timeout"
        assert end == "data: [DONE]"
        assert settles(server)


def test_a_full_queue_says_when_to_come_again(start, bundled):
    with start(bundled, "--queue", "2", "--sequences", "1") as server:
        connections = [raw(server, long_request())]
        assert _within_ten_seconds(lambda: server.get("/health").json()["running"] == 1)
        connections += [raw(server, long_request()) for _ in range(7)]
        statuses = []
        for connection in connections:
            connection.settimeout(0.5)
            try:
                statuses.append(connection.recv(4096))
            except TimeoutError:
                statuses.append(b"")
        refused = [head for head in statuses if head.startswith(b"HTTP/1.1 429")]
        assert 4 <= len(refused) <= 5  # one runs (or was quick enough for another), two wait
        assert all(b"retry-after: 2" in head.lower() for head in refused)
        for connection in connections:
            connection.close()
        assert settles(server)
        server.complete(OK, max_tokens=1)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_for_the_log_stops_nobody(start, bundled):
    log = ("--request-log", "/dev/full")
    with Path("/dev/full").open("w") as full, start(bundled, *log, stderr=full) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(b"junk that is logged\r\n\r\n")
            connection.recv(100)
        server.complete(OK, max_tokens=3)
