"""mlflow run . -e train -P model=swin_large"""

import typer

from carvision.config import (
    DEFAULT_MODEL,
    choice,
    data_source,
    fold_numbers,
    load_configs,
    setting_names,
)
from carvision.pipelines.entry_point import run_entry_point


def command(
    model: str = typer.Option(DEFAULT_MODEL, help="a backbone, a,b, or all"),
    data: str = typer.Option("latest", parser=data_source),
    fold: str = typer.Option("all", parser=fold_numbers, help="all, or numbers from 1: 2 or 1,3"),
    recipe: str = "",
    config: str = typer.Option("", help="a YAML file of your own settings"),
    overrides: str = typer.Option("", "--set", help='e.g. "train.epochs=3 loss.name=focal"'),
    resume: str = typer.Option(
        "auto",
        parser=choice("resume", "auto", "never"),
        help="auto takes finished folds over, never does not",
    ),
    device: str = typer.Option("", help="auto, cpu, cuda or mps"),
    seed: str = "",
) -> None:
    """Train backbones on folds: out-of-fold predictions and registered models."""
    configs = load_configs(
        model, recipe=recipe, config=config, overrides=overrides, device=device, seed=seed
    )

    from carvision.pipelines.train.step import train

    train(configs, data, fold, resume)


if __name__ == "__main__":
    run_entry_point(command, setting_names())
