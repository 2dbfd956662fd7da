"""mlflow run . -e hpo -P model=efficientnet_lite0 -P trials=20"""

from pathlib import Path

import typer

from carvision.config import (
    DEFAULT_MODEL,
    data_source,
    fold_numbers,
    load_config,
    output_path,
    setting_names,
    stripped,
    whole_number,
)
from carvision.pipelines.entry_point import run_entry_point


def command(
    model: str = typer.Option(DEFAULT_MODEL, parser=stripped, help="one backbone"),
    trials: int = typer.Option(
        20,
        parser=whole_number("trials", 1),
        help="the study's total; a study that was stopped goes on",
    ),
    fold: str = typer.Option(
        "1", parser=fold_numbers, help="what is trained on in each trial: 1, or 1,2, or all"
    ),
    data: str = typer.Option("latest", parser=data_source),
    recipe: str = "",
    config: str = typer.Option("", help="a YAML file of your own settings, to start from"),
    overrides: str = typer.Option("", "--set", help='e.g. "train.epochs=3"'),
    device: str = typer.Option("", help="auto, cpu, cuda or mps"),
    seed: str = "",
    output: Path = typer.Option(
        "hpo.yaml", parser=output_path, help="the settings found, for train's config="
    ),
) -> None:
    """Search a backbone's hyperparameters: learning rates, augmentation, loss."""
    start = load_config(
        model, recipe=recipe, config=config, overrides=overrides, device=device, seed=seed
    )

    from carvision.pipelines.hpo.step import hpo

    hpo(start, data, fold=fold, trials=trials, output=output)


if __name__ == "__main__":
    run_entry_point(command, setting_names())
