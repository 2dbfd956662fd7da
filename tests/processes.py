"""Other processes, as they name themselves."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carvision.store import process

_NAME = "from carvision.store.process import this_process; print(this_process(), flush=True)"


def start(code: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
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
    child, named = start("input()")
    yield named
    child.communicate("\n")


@pytest.fixture(scope="module")
def dead() -> dict[str, Any]:
    """A process that was killed, and its end waited for."""
    child, named = start("input()")
    child.kill()
    child.communicate()
    return named
