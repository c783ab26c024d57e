"""What the page shows of the simulated chip: simulated once, and no other request waits for it."""

from __future__ import annotations

import asyncio
import json
import threading
from unittest.mock import Mock

from hnlpu.serve import _page


def test_the_chip_is_simulated_once_whoever_asks_meanwhile(monkeypatch):
    asked, may_end = [], threading.Event()

    def facts(directory):
        asked.append(directory)
        may_end.wait(20)
        return {"chips": 1}

    monkeypatch.setattr(_page, "chip_facts", facts)
    monkeypatch.setattr(_page, "_facts", lambda context: {})
    router = _page.routes(Mock(documented={}))
    (endpoint,) = [r.endpoint for r in router.routes if r.path == "/hnlpu/model"]

    async def many():
        waiting = [asyncio.create_task(endpoint(wait=True)) for _ in range(4)]
        at_once = await asyncio.wait_for(endpoint(), 5)
        may_end.set()
        return [at_once, *await asyncio.gather(*waiting)]

    told, *found = [json.loads(answer.body)["chip"] for answer in asyncio.run(many())]
    assert told == {"simulating": True}
    assert found == [{"chips": 1}] * 4
    assert len(asked) == 1
