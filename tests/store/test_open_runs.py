"""How a run is opened."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest

from carvision.store.client import client
from carvision.store.open_runs import tracked_run
from carvision.store.process import this_process


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
