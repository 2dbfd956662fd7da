"""mlflow run . -e prepare -P data=PATH"""

import typer

from carvision.config import load_config
from carvision.pipelines import prepare, run_entry_point


def command(
    data: str = "latest",
    config: str = "",
    overrides: str = typer.Option("", "--set", help='e.g. "data.folds=3"'),
) -> None:
    """Photos to a manifest: data is a folder, a zip, sample, or latest."""
    prepare(load_config(config=config, overrides=overrides), data)


if __name__ == "__main__":
    run_entry_point(command)
