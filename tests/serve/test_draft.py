"""hnlpu serve --draft: a second build proposes, and answers stay the same."""

from __future__ import annotations

from pathlib import Path

import hnlpu

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


def test_a_second_build_proposes(start, cli, tmp_path, bundled):
    build = hnlpu.build(CHECKPOINTS / "stdlib-140k", tmp_path / "build")
    second = hnlpu.build(CHECKPOINTS / "gru-106k", tmp_path / "second")
    body = {"max_tokens": 60, "temperature": 0, "ignore_eos": True}
    with start(build, "--draft", str(second)) as server:
        with_it = server.complete("def add(a, b):\n", **body)
        without = server.complete("def add(a, b):\n", **body, speculation=False)
    assert with_it["choices"] == without["choices"]
    assert with_it["usage"]["completion_tokens_details"]["accepted_prediction_tokens"] > 5
    assert "completion_tokens_details" not in without["usage"]
    code, out, err = cli("serve", build, "--draft", bundled)
    assert (code, out) == (2, "")
    assert "--draft" in err
    assert "vocabulary" in err
