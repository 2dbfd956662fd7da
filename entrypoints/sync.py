"""mlflow run . -e sync"""

from pathlib import Path

import typer

from carvision.config import path_text
from carvision.pipelines.entry_point import run_entry_point


def command(
    folder: str = typer.Option(
        "work/folds", parser=path_text, help="where the folds' event logs are"
    ),
) -> None:
    """Send MLflow what it missed while its server was away."""
    from carvision.pipelines.sync import sync

    sync(Path(folder))


if __name__ == "__main__":
    run_entry_point(command)
