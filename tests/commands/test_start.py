"""What needs no step, such as ``--help`` or a wrong parameter, imports none: it answers at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
#: What the steps import, and takes seconds.
_HEAVY = ("torch", "mlflow", "timm", "optuna", "pandas", "sklearn", "scipy", "matplotlib")

#: Runs each command line in this one process, and prints what it printed and had imported.
_RUN_EACH = """
import contextlib, io, json, runpy, sys
entry, heavy, cases = sys.argv[1], sys.argv[2].split(), json.loads(sys.argv[3])
found = []
for case in cases:
    sys.argv = [entry, *case]
    status = None
    try:
        runpy.run_module(f"entrypoints.{entry}", run_name="__main__")
    except SystemExit as end:
        status = end.code
    found.append([status, [name for name in heavy if name in sys.modules]])
print(json.dumps(found), file=sys.stderr)
"""

_WRONG = {
    "prepare": [["--data", ""], ["--set", "data.fold=3"], ["--set", "train.epochs=3"]],
    "train": [
        ["--model", "swin"],
        ["--set", "train.epoch=3"],
        ["--fold", "x"],
        ["--resume", "maybe"],
        ["--device", "gpu"],
        ["--recipe", "none"],
        ["--config", "absent.yaml"],
    ],
    "tune": [
        ["--trials", "x"],
        ["--model", "swin"],
        ["--method", "best"],
        ["--budget", "x"],
        ["--set", "device=cpu"],
        ["--seed", "x"],
    ],
    "ensemble": [["--tta-steps", "6"], ["--set", "train.epochs=3"], ["--device", "gpu"]],
    "main": [["--trials", "x"], ["--model", "swin"], ["--set", "a=b"]],
    "hpo": [["--trials", "x"], ["--model", "swin"], ["--set", "train.epochs=x"]],
    "bench": [["--what", "speed"]],
    "sync": [["stray"]],
}


def test_every_entry_point_is_tried() -> None:
    scripts = {path.stem for path in (_ROOT / "entrypoints").glob("*.py")} - {"__init__"}
    assert set(_WRONG) == scripts


@pytest.mark.parametrize("entry", _WRONG)
def test_what_needs_no_step_imports_none(entry: str, tmp_path: Path) -> None:
    wrong = [["--mistyped", "1"], *_WRONG[entry]]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            _RUN_EACH,
            entry,
            " ".join(_HEAVY),
            json.dumps([["--help"], *wrong]),
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stderr.splitlines()[-1])
    assert found == [[0, []]] + [[1, []]] * len(wrong), done.stdout
