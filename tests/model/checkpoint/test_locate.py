"""Hub ids: found in the Hub's cache without a network, refused in one line where they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers import environment, run_cli, snapshot
from hnlpu.errors import CheckpointNotFound, InvalidInput
from hnlpu.model.checkpoint import locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.fixture
def hub(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A Hub cache with two snapshots of owner/name: `main` is whole, the older one lacks weights."""
    repository = tmp_path / "hub/models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    shutil.copytree(tiny_checkpoint, repository / "snapshots" / COMMIT)
    (repository / "snapshots" / OLDER).mkdir()
    shutil.copy(tiny_checkpoint / "config.json", repository / "snapshots" / OLDER)
    return tmp_path / "hub"


def offline(hub: Path) -> dict[str, str]:
    return environment(HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(hub), HF_HOME=str(hub.parent))


def test_a_cached_model_builds_offline(hub, tmp_path, tiny_build):
    code, _, errors = run_cli("build", "owner/name", "-o", tmp_path / "b", env=offline(hub))
    assert (code, errors) == (0, "")
    assert snapshot(tmp_path / "b") == snapshot(tiny_build)


def test_a_revision_pins_a_commit(hub, tmp_path, tiny_build):
    def build(revision: str) -> tuple[int, str]:
        code, _, errors = run_cli(
            "build", "owner/name", "-o", tmp_path / "b", "--revision", revision, env=offline(hub)
        )
        return code, errors

    assert build(COMMIT) == (0, "")
    assert snapshot(tmp_path / "b") == snapshot(tiny_build)
    code, errors = build(OLDER)
    assert code == 2
    assert OLDER in errors  # the line names the snapshot's folder
    assert "model.safetensors" in errors
    code, errors = build("no-such-branch")
    assert code == 2
    assert errors.startswith("hnlpu: owner/name: no such folder here, and the Hub did not give it")


def test_a_gguf_file_of_a_repository(tmp_path, monkeypatch):
    """One file, or all parts of a split, by the repository's id and the file's name."""
    import huggingface_hub

    asked = []

    def snapshot_download(repository, revision, allow_patterns, ignore_patterns):
        asked.append((repository, revision, allow_patterns, ignore_patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    assert locate("owner/name-GGUF/a.Q4_K_M.gguf", "v1") == tmp_path / "a.Q4_K_M.gguf"
    split = "Q8/b-00001-of-00003.gguf"
    assert locate(f"owner/name-GGUF/{split}") == tmp_path / split
    assert asked == [
        ("owner/name-GGUF", "v1", ["a.Q4_K_M.gguf"], []),
        ("owner/name-GGUF", None, ["Q8/b-*-of-00003.gguf"], []),
    ]


def test_offline_and_not_cached_is_one_clear_line(tmp_path):
    before = snapshot(tmp_path)
    code, printed, errors = run_cli(
        "build", "owner/other", "-o", tmp_path / "x/b", env=offline(tmp_path / "hub")
    )
    assert (code, printed) == (2, "")
    assert errors.count("\n") == 1
    assert "owner/other: no such folder here, and the Hub did not give it" in errors
    assert set(snapshot(tmp_path)) - set(before) <= {"hub"}


@pytest.mark.parametrize("name", ["no/such/folder", "nothing", "-x/y", "a b/c", "owner/", "./x"])
def test_what_is_neither_folder_nor_hub_id_never_asks_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointNotFound, match="not a Hub id"):
        locate(name)


def test_a_local_folder_has_no_revision(tiny_checkpoint):
    with pytest.raises(CheckpointNotFound, match="drop `revision`"):
        locate(tiny_checkpoint, "main")


def test_a_local_folder_wins_over_the_hub(tmp_path, monkeypatch):
    (tmp_path / "owner/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate("owner/name") == tmp_path / "owner/name"


@pytest.mark.parametrize("path", ["~nosuchuser0/x", "x" * 300, "a\0b"])
def test_paths_that_no_system_can_look_up(path):
    with pytest.raises(InvalidInput):
        locate(path)
