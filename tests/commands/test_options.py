"""What a script makes of its options, without a process of its own."""

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from entrypoints import tune


@pytest.mark.parametrize(
    ("given", "expected"), [("2.5", 2.5), ("3", 3.0), ("0", None), ("0.0", None)]
)
def test_a_budget_may_be_a_fraction(
    given: str, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(tune, "tune", lambda *arguments: seen.append(arguments[-1]))
    app = typer.Typer()
    app.command()(tune.command)
    result = CliRunner().invoke(app, ["--budget", given])
    assert result.exit_code == 0, result.output
    assert seen == [expected]
