"""Runs of killed processes are closed; those of living ones, and of other machines, never."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from carvision.store.client import client
from carvision.store.killed_runs import close_abandoned, close_killed_runs
from carvision.store.open_runs import tracked_run
from carvision.store.process import this_process

_PROJECT = {"mlflow.project.entryPoint": "tune", "mlflow.source.type": "PROJECT"}


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


@pytest.mark.parametrize(
    ("tags", "days", "status"),
    [
        ({**_PROJECT, "mlflow.source.name": "file://HERE#"}, 2.0, "KILLED"),
        ({**_PROJECT, "mlflow.source.name": "file://HERE/.git#"}, 2.0, "KILLED"),
        ({**_PROJECT, "mlflow.source.name": "HERE"}, 2.0, "KILLED"),
        ({**_PROJECT, "mlflow.source.name": "HERE"}, 0.9, "RUNNING"),
        ({**_PROJECT, "mlflow.source.name": "HERE-of-others"}, 2.0, "RUNNING"),
        ({"mlflow.source.name": "HERE"}, 2.0, "RUNNING"),
        (
            {**_PROJECT, "mlflow.source.name": "HERE", "carvision.process": "PROCESS"},
            2.0,
            "RUNNING",
        ),
    ],
)
def test_a_step_that_never_started(
    store: Path, tags: dict[str, str], days: float, status: str
) -> None:
    """Killed between the opening of the run and the start: known by its age alone."""
    named = {
        key: value.replace("HERE", str(Path.cwd())).replace("PROCESS", this_process())
        for key, value in tags.items()
    }
    start = int((time.time() - days * 86400) * 1000)
    run_id = client().create_run("0", start_time=start, tags=named).info.run_id
    close_killed_runs()
    assert client().get_run(run_id).info.status == status
    client().set_terminated(run_id)
