"""Weights in the temporary folder: gone once they are read, and after servers that were killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from carvision.errors import ConfigError
from carvision.serving import fetching
from carvision.serving.fetching import fetching_folder


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_stays(fails: bool, tmp_path: Path) -> None:
    try:
        with fetching_folder() as folder:
            (folder / "fold1.safetensors").write_bytes(b"1")
            assert "fold1.safetensors" in _files(tmp_path)
            if fails:
                raise SystemExit
    except SystemExit:
        pass
    assert _files(tmp_path) == []


def test_what_a_killed_server_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from carvision.serving.fetching import fetching_folder\n"
        "with fetching_folder() as folder:\n"
        "    (folder / 'fold1.safetensors').write_bytes(b'1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert ended.returncode == -signal.SIGKILL
    assert "fold1.safetensors" in _files(tmp_path)
    # A second one that lives keeps its own.
    with fetching_folder() as folder:
        (folder / "fold2.safetensors").write_bytes(b"2")
        with fetching_folder():
            assert "fold1.safetensors" not in _files(tmp_path)
            assert "fold2.safetensors" in _files(tmp_path)


def test_another_users_folder_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_USER", 4321)
    with pytest.raises(ConfigError, match="set TMPDIR"), fetching_folder():
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_another_users_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    link = tmp_path / f"carvision-{os.getuid()}"
    link.symlink_to("mine")
    os.lchown(link, 4321, 4321)
    with pytest.raises(ConfigError, match="set TMPDIR"), fetching_folder():
        pass
