"""mlflow run ."""

from pathlib import Path

import typer

from carvision.config import (
    data_source,
    load_configs,
    output_path,
    path_text,
    setting_names,
    whole_number,
)
from carvision.pipelines.entry_point import run_entry_point


def command(
    model: str = typer.Option("efficientnet_lite0,efficientnet_lite1", help="a,b, or all"),
    data: str = typer.Option("latest", parser=data_source),
    test: str = typer.Option(
        "", parser=path_text, help="a folder, CSV or zip; empty takes the data's own test photos"
    ),
    recipe: str = "",
    config: str = typer.Option("", help="a YAML file of your own settings"),
    overrides: str = typer.Option("", "--set", help='e.g. "train.epochs=3"'),
    trials: int = typer.Option(200, parser=whole_number("trials", 1)),
    tta_steps: int = typer.Option(5, parser=whole_number("tta_steps", 1, 5)),
    output: Path = typer.Option("submission.csv", parser=output_path),
    device: str = typer.Option("", help="auto, cpu, cuda or mps"),
    seed: str = "",
) -> None:
    """Prepare, train, tune and ensemble in one run."""
    configs = load_configs(
        model, recipe=recipe, config=config, overrides=overrides, device=device, seed=seed
    )

    from carvision.pipelines.main import main

    main(configs, data, test=test, trials=trials, tta_steps=tta_steps, output=output)


if __name__ == "__main__":
    run_entry_point(command, setting_names())
