"""mlflow run . -e prepare -P data=PATH"""

import typer

from carvision.config import data_source, load_run_settings, path_text, step_setting_names
from carvision.pipelines.entry_point import run_entry_point


def command(
    data: str = typer.Option("latest", parser=data_source),
    exclude: str = typer.Option(
        "", parser=path_text, help="a CSV with the column image_id; none ends an older one"
    ),
    config: str = typer.Option("", help="a YAML file of your own settings"),
    overrides: str = typer.Option("", "--set", help='e.g. "data.folds=3"'),
) -> None:
    """Photos to a manifest: data is a folder, a zip, sample, or latest."""
    settings = load_run_settings("prepare", config=config, overrides=overrides)

    from carvision.pipelines.prepare.step import prepare

    prepare(settings, data, exclude)


if __name__ == "__main__":
    run_entry_point(command, step_setting_names("prepare"))
