"""Stored responses: copies, of bounded size, the longest unused of which give way."""

from __future__ import annotations

from hnlpu.serve._stored import StoredResponses


def test_the_longest_unused_give_way():
    stored = StoredResponses(1000)
    for i in range(50):
        stored.put({"id": f"r{i}", "output": ["x" * 100]}, [{"content": "a" * 100}])
        assert stored.bytes <= 1000
        if i >= 1:
            assert stored.get("r0") is not None
    assert stored.get("r49") is not None
    assert stored.get("r20") is None
    assert 2 < len(stored) < 6
    for name in ("r0", "r49"):
        stored.delete(name)
        assert stored.get(name) is None
    before = stored.bytes
    stored.put({"id": "long", "output": ["x" * 2000]}, [])
    assert (stored.get("long"), stored.bytes) == (None, before)


def test_what_is_stored_does_not_change():
    stored, response = StoredResponses(1000), {"id": "a", "output": [{"text": "x"}]}
    stored.put(response, [])
    response["output"][0]["text"] = "y"
    entry = stored.get("a")
    assert entry is not None
    assert entry.response["output"][0]["text"] == "x"


def test_no_room_stores_nothing():
    stored = StoredResponses(0)
    stored.put({"id": "a"}, [])
    assert len(stored) == 0
