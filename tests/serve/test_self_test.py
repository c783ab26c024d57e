"""hnlpu serve --self-test: it passes where nothing depends on company, and says so where something does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_chat import ALL_MARKS, TEMPLATE, checkpoint

import hnlpu
from hnlpu.run.engine import Disturbed, Engine
from hnlpu.serve import _self_test, open_sound_build, self_test
from hnlpu.serve._ask import ask

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A gpt-oss that speaks harmony, so that every kind of request can be asked."""
    return checkpoint(tmp_path_factory.mktemp("self") / "checkpoint", TEMPLATE, ALL_MARKS)


def test_every_kind_is_asked_and_none_differs(cli, build):
    code, out, err = cli(
        "serve", build, "--self-test", "--minutes", "0.1", "--streams", "12", "--json"
    )
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["passed"]
    assert not found["not_covered"]
    assert {"tools", "schema", "adapter", "looked up", "embedding", "scored"} < set(found["kinds"])
    assert found["differing"] == 0 < found["control_differing"]
    assert min(found["preemptions"], found["reused_tokens"], found["adapters_swapped"]) > 0


def test_it_fails_where_company_counts(monkeypatch, build):
    begun = Engine.__init__

    def spoilt(self, *args, **options):
        begun(self, *args, **options)
        self.wrap(Disturbed)

    monkeypatch.setattr(Engine, "__init__", spoilt)
    found = self_test(open_sound_build(build), 0.15, 12)
    assert not found["passed"]
    assert found["differing"]


def test_what_is_refused_alone_is_no_proof(monkeypatch, build):
    """The same refusal alone and in company would be equal."""

    async def refused(port, path, body, patience=None):
        return (400, "no") if b'"n": 3' in body else await ask(port, path, body, patience)

    monkeypatch.setattr(_self_test, "ask", refused)
    found = self_test(open_sound_build(build), 0.01, 4)
    assert found["not_covered"] == {"choices": 'refused with 400: "no"'}
    assert "choices" not in found["kinds"]
    assert {"tools", "schema", "adapter"} < set(found["kinds"])


def test_a_recurrent_network(tmp_path):
    build = hnlpu.build(CHECKPOINTS / "gru-106k", tmp_path / "build")
    found = self_test(open_sound_build(build), 0.05, 8)
    assert found["passed"]
    assert "adapter" in found["kinds"]


@pytest.mark.parametrize(
    ("option", "told"),
    [("--minutes=0", "--minutes: must be above 0"), ("--minutes=nan", "--minutes: must be above 0"),
     ("--streams=1", "--streams: must be from 2")],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(cli, build, option, told):
    code, out, err = cli("serve", build, "--self-test", option)
    assert (code, out) == (2, "")
    assert told in err
