"""A process is judged where its number means something, and nowhere else."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from carvision.store.process import is_alive, is_gone, this_process
from tests.processes import start


def test_living_and_dead(living: dict[str, Any], dead: dict[str, Any]) -> None:
    assert not is_gone(this_process())
    assert not is_gone(json.dumps(living))
    assert is_gone(json.dumps(dead))
    assert is_alive(this_process())
    assert is_alive(json.dumps(living))
    assert not is_alive(json.dumps(dead))


def test_killed_and_not_waited_for() -> None:
    """A zombie, as a container without an init keeps them, is gone."""
    child, named = start("input()")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(json.dumps(named))
    child.communicate()


def test_a_number_that_was_given_again(living: dict[str, Any]) -> None:
    assert is_gone(json.dumps({**living, "started": "1"}))


@pytest.mark.parametrize("where", ["host", "boot", "pid_namespace"])
def test_elsewhere(dead: dict[str, Any], where: str) -> None:
    for known in (is_gone, is_alive):
        assert not known(json.dumps({**dead, where: "another"}))


@pytest.mark.parametrize("tag", ["", "host:123", "{}", "[1]", "3", '{"pid": null, "started": ""}'])
def test_no_process(tag: str) -> None:
    assert not is_gone(tag)
    assert not is_alive(tag)


@pytest.mark.parametrize("pid", [-1, 0, 2**70])
def test_no_number_of_a_process(living: dict[str, Any], pid: int) -> None:
    assert not is_alive(json.dumps({**living, "pid": pid}))


def test_without_proc(
    living: dict[str, Any], dead: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number alone is left, on a machine that its network card names."""

    def absent(path: Path) -> Path:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "readlink", absent)
    monkeypatch.setattr(psutil, "LINUX", False)
    named = json.loads(this_process())
    assert named["started"] == ""
    assert not is_gone(json.dumps({**named, "pid": living["pid"]}))
    assert not is_gone(json.dumps({**named, "pid": 1}))
    assert is_gone(json.dumps({**named, "pid": dead["pid"]}))


def test_a_process_that_an_earlier_version_named(
    living: dict[str, Any], dead: dict[str, Any]
) -> None:
    """By the clock ticks of its start in /proc, see proc_pid_stat(5)."""
    stat = Path(f"/proc/{living['pid']}/stat").read_text()
    ticks = stat.rpartition(")")[2].split()[19]
    where = {
        "host": socket.gethostname(),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "pid_namespace": str(Path("/proc/self/ns/pid").readlink()),
    }
    assert is_alive(json.dumps({**where, "pid": living["pid"], "started": ticks}))
    assert is_alive(json.dumps({**where, "pid": living["pid"], "started": ""}))
    assert is_gone(json.dumps({**where, "pid": living["pid"], "started": str(int(ticks) - 500)}))
    assert is_gone(json.dumps({**where, "pid": dead["pid"], "started": ticks}))


def test_a_process_of_another_user(living: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(process: psutil.Process) -> str:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "status", denied)
    assert is_alive(json.dumps(living))
