"""Who may come in: addresses, keys, host names, rates."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from hnlpu.errors import InvalidInput
from hnlpu.serve import ServerSettings
from hnlpu.serve._guard import Guard
from hnlpu.serve._journal import RequestLog
from hnlpu.serve._settings import is_loopback

BODY = {"model": "build", "prompt": "a", "max_tokens": 1}
KEYS = ("first-key-1234", "second-key-1234")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "8.8.8.8", "no.such.name.invalid"])
def test_a_public_address_without_a_key_is_refused(host):
    with pytest.raises(InvalidInput, match="other machines can reach this address"):
        ServerSettings(host=host).check()
    ServerSettings(host=host, api_keys=KEYS).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_key(host):
    assert is_loopback(host)
    ServerSettings(host=host).check()


@pytest.mark.parametrize(
    "change",
    [
        {"port": -1}, {"port": 65536}, {"queue": 0}, {"timeout_seconds": 0.0},
        {"timeout_seconds": float("nan")}, {"shutdown_seconds": -1.0}, {"rate_per_minute": 0.0},
        {"max_body_bytes": 0}, {"max_tokens": 0}, {"api_keys": ("short",)},
        {"api_keys": ("with\nnewline",)}, {"api_keys": (" spaces ",)},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(InvalidInput):
        ServerSettings(**change).check()


@pytest.fixture(scope="module")
def locked(start, bundled, tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"\n{KEYS[1]}\n")
    with start(bundled, "--api-key", KEYS[0], "--api-key-file", str(file)) as server:
        yield server


@pytest.mark.parametrize("key", KEYS)
def test_each_key_opens(locked, key):
    headers = {"Authorization": f"Bearer {key}"}
    assert locked.post("/v1/completions", BODY, headers=headers).status_code == 200
    assert locked.get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong-key-1234", f"Basic {KEYS[0]}", KEYS[0]]
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/hnlpu/model", "/v1/models/../models"])
def test_nothing_else_does(locked, header, path):
    headers = {} if header is None else {"Authorization": header}
    response = locked.get(path, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"
    assert KEYS[0] not in response.text


def test_health_and_page_are_open(locked):
    assert locked.get("/health").status_code == 200
    assert locked.get("/").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:8000", 200), ("evil.example", 403),
     ("127.0.0.1.evil.example", 403), ("", 403)],
)  # fmt: skip
def test_a_name_of_elsewhere_that_points_here_is_refused(server, host, status):
    """DNS rebinding: a page's own host name, made to resolve to 127.0.0.1."""
    assert server.get("/health", headers={"Host": host}).status_code == status


def test_a_page_of_elsewhere_cannot_post_without_asking(server):
    """What a browser sends without a preflight is no JSON by its content type."""
    response = server.post("/v1/completions", BODY, headers={"Content-Type": "text/plain"})
    assert response.status_code == 415
    options = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in server.get("/health", headers=options).headers


def test_each_client_has_a_rate(start, bundled):
    keys = ("--api-key", KEYS[0], "--api-key", KEYS[1])
    with start(bundled, "--rate-limit", "3", *keys) as server:
        first, second = ({"Authorization": f"Bearer {key}"} for key in KEYS)
        for _ in range(3):
            assert server.post("/v1/completions", BODY, headers=first).status_code == 200
        refused = server.post("/v1/completions", BODY, headers=first)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 21
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert server.post("/v1/completions", BODY, headers=second).status_code == 200


@pytest.mark.parametrize(("fault", "status"), [(ValueError, 500), (asyncio.CancelledError, 499)])
def test_a_fault_is_counted_as_one_and_a_client_that_left_as_that(fault, status):
    counted = []

    async def app(scope, receive, send):
        raise fault

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    metrics = Mock()
    metrics.http = lambda path, status, seconds: counted.append(status)
    guard = Guard(app, ServerSettings(), metrics, RequestLog(None))
    scope = {
        "type": "http",
        "method": "GET",
        "headers": [(b"host", b"localhost")],
        "client": None,
        "path": "/",
    }
    with pytest.raises(fault):
        asyncio.run(guard(scope, receive, Mock()))
    assert counted == [status]
