"""Runs of killed processes are closed; those of living ones, and of other machines, never."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest

from carvision.store import process
from carvision.store.client import client
from carvision.store.killed_runs import close_abandoned, close_killed_runs
from carvision.store.open_runs import tracked_run
from carvision.store.process import is_alive, is_gone, this_process

_NAME = "from carvision.store.process import this_process; print(this_process(), flush=True)"


def _started(code: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Another process and what it calls itself."""
    child = subprocess.Popen(
        [sys.executable, "-c", f"{_NAME}; {code}"],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        cwd=Path(process.__file__).parents[2],
    )
    assert child.stdout is not None
    return child, json.loads(child.stdout.readline())


@pytest.fixture(scope="module")
def living() -> Iterator[dict[str, Any]]:
    """A process that waits."""
    child, named = _started("input()")
    yield named
    child.communicate("\n")


@pytest.fixture(scope="module")
def dead() -> dict[str, Any]:
    """A process that was killed, and its end waited for."""
    child, named = _started("input()")
    child.kill()
    child.communicate()
    return named


def test_living_and_dead(living: dict[str, Any], dead: dict[str, Any]) -> None:
    assert not is_gone(this_process())
    assert not is_gone(json.dumps(living))
    assert is_gone(json.dumps(dead))
    assert is_alive(this_process())
    assert is_alive(json.dumps(living))
    assert not is_alive(json.dumps(dead))


def test_killed_and_not_waited_for() -> None:
    """A zombie, as a container without an init keeps them, is gone."""
    child, named = _started("input()")
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


def test_close_killed_runs(store: Path, living: dict[str, Any], dead: dict[str, Any]) -> None:
    named = {
        "gone": json.dumps(dead),
        "elsewhere": json.dumps({**dead, "boot": "another"}),
        "busy": json.dumps(living),
        "mute": "",
    }
    made = {
        name: client().create_run("0", run_name=name, tags={"carvision.process": tag}).info.run_id
        for name, tag in named.items()
    }
    with tracked_run("train", "this one") as alive:
        assert [run.info.run_id for run in close_killed_runs()] == [made["gone"]]
        statuses = {name: client().get_run(run_id).info.status for name, run_id in made.items()}
        assert statuses.pop("gone") == "KILLED"
        assert set(statuses.values()) == {"RUNNING"}
        assert client().get_run(alive.info.run_id).info.status == "RUNNING"


@pytest.mark.parametrize(
    ("parent", "left"),
    [("rebooted", []), ("dead", []), ("living", ["fold", "train"]), ("mute", ["train"])],
)
def test_close_abandoned(
    store: Path, living: dict[str, Any], dead: dict[str, Any], parent: str, left: list[str]
) -> None:
    """Up to the first run, and not what a living process works at, or another program opened."""
    rebooted = {**dead, "boot": "another"}
    processes = {"rebooted": rebooted, "dead": dead, "living": living}
    tag = json.dumps(processes[parent]) if parent in processes else ""
    made: dict[str, str] = {}
    above = ""
    for name, process_tag in {
        "main": json.dumps(rebooted),
        "train": tag,
        "fold": tag if parent == "living" else json.dumps(rebooted),
    }.items():
        tags = {"carvision.process": process_tag, "mlflow.parentRunId": above}
        above = made[name] = client().create_run("0", run_name=name, tags=tags).info.run_id
    closed = [run.info.run_name for run in close_abandoned(made["fold"])]
    assert closed == [name for name in ("fold", "train", "main") if name not in left]
    for name, run_id in made.items():
        status = client().get_run(run_id).info.status
        assert status == ("RUNNING" if name in left else "KILLED")
    assert close_abandoned(made["fold"]) == []
    assert close_abandoned("0" * 32) == []  # of another store


def test_a_run_is_never_without_its_process(
    store: Path, dead: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a run that goes on, which had another's."""
    seen = []
    start_run = mlflow.start_run

    def watched(run_id: str | None = None, **arguments: Any) -> mlflow.ActiveRun:
        tags = client().get_run(run_id).data.tags if run_id else arguments["tags"]
        seen.append(tags["carvision.process"])
        return start_run(run_id, **arguments)

    monkeypatch.setattr(mlflow, "start_run", watched)
    killed = client().create_run("0", tags={"carvision.process": json.dumps(dead)})
    with tracked_run("train", "parent"):
        pass
    client().set_terminated(killed.info.run_id, "KILLED")
    mlflow.set_experiment(experiment_id="0")
    with tracked_run("fold", "again", run_id=killed.info.run_id) as run:
        assert run.info.run_id == killed.info.run_id
        assert client().get_run(run.info.run_id).info.run_name == "again"
    assert seen == [this_process()] * 2
