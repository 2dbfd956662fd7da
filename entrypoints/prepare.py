"""mlflow run . -e prepare -P data=PATH"""

import typer

from carvision.config import data_source, load_config, path_text
from carvision.pipelines.entry_point import run_entry_point
from carvision.pipelines.prepare.step import prepare


def command(
    data: str = typer.Option("latest", parser=data_source),
    exclude: str = typer.Option(
        "", parser=path_text, help="a CSV with the column image_id; none ends an older one"
    ),
    config: str = "",
    overrides: str = typer.Option("", "--set", help='e.g. "data.folds=3"'),
) -> None:
    """Photos to a manifest: data is a folder, a zip, sample, or latest."""
    prepare(load_config(config=config, overrides=overrides), data, exclude)


if __name__ == "__main__":
    run_entry_point(command)
