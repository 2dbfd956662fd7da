"""mlflow run . -e ensemble -P output=my_submission.csv"""

from pathlib import Path

import typer

from carvision.config import (
    data_source,
    load_run_settings,
    output_path,
    path_text,
    step_setting_names,
    whole_number,
)
from carvision.pipelines.entry_point import run_entry_point


def command(
    data: str = typer.Option("latest", parser=data_source),
    test: str = typer.Option(
        "", parser=path_text, help="a folder, CSV or zip; empty takes the data's own test photos"
    ),
    output: Path = typer.Option("submission.csv", parser=output_path),
    tta_steps: int = typer.Option(
        5, parser=whole_number("tta_steps", 1, 5), help="the first so many of the five views"
    ),
    config: str = typer.Option("", help="a YAML file of your own settings"),
    overrides: str = typer.Option("", "--set", help='e.g. "inference.batch_size=8"'),
    device: str = typer.Option("", help="auto, cpu, cuda or mps"),
) -> None:
    """The registered ensemble to a submission."""
    settings = load_run_settings("ensemble", config=config, overrides=overrides, device=device)

    from carvision.pipelines.ensemble.step import ensemble

    ensemble(settings, data, test=test, output=output, tta_steps=tta_steps)


if __name__ == "__main__":
    run_entry_point(command, step_setting_names("ensemble"))
