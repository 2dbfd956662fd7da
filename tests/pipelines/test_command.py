"""What a command puts in order before its own work."""

import json
from pathlib import Path
from typing import Any

import pytest

from carvision.pipelines import command
from carvision.pipelines.command import command_run
from carvision.store.client import client


@pytest.mark.parametrize(
    "step", ["prepare", "train", "tune", "ensemble", "main", "hpo", "bench", "sync"]
)
def test_each_step_opens_its_run_so(step: str) -> None:
    pipelines = Path(command.__file__).parent
    modules = [*pipelines.glob(f"{step}.py"), *pipelines.glob(f"{step}/*.py")]
    sources = [module.read_text(encoding="utf-8") for module in modules]
    assert sum(source.count("with command_run(") for source in sources) == 1


def test_what_a_command_finds_is_put_in_order(store: Path, dead: dict[str, Any]) -> None:
    killed = client().create_run(
        "0", run_name="killed", tags={"carvision.process": json.dumps(dead)}
    )
    scratch = Path("work/scratch/abc")
    scratch.mkdir(parents=True)
    (scratch / "weights").write_text("")
    scratch.with_name("abc.owner").touch()
    with command_run("tune", "first"):
        assert client().get_run(killed.info.run_id).info.status == "KILLED"
        assert not scratch.exists()
        # A step within another finds its own things only.
        scratch.mkdir()
        scratch.with_name("abc.owner").touch()
        with command_run("ensemble", "within"):
            assert scratch.exists()
