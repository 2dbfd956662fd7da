"""mlflow run . -e sync"""

from pathlib import Path

import typer

from carvision.pipelines import run_entry_point, sync


def command(
    folder: Path = typer.Option(Path("work/folds"), help="where the folds' event logs are"),
) -> None:
    """Send MLflow what it missed while its server was away."""
    sync(folder)


if __name__ == "__main__":
    run_entry_point(command)
