"""mlflow run ."""

from pathlib import Path

import typer

from carvision.config import load_configs
from carvision.pipelines import main, run_entry_point


def command(
    model: str = typer.Option("efficientnet_lite0,efficientnet_lite1", help="a,b, or all"),
    data: str = "latest",
    test: str = typer.Option(
        "", help="a folder, CSV or zip; empty takes the data's own test photos"
    ),
    recipe: str = "",
    config: str = typer.Option("", help="a YAML file of your own settings"),
    overrides: str = typer.Option("", "--set", help='e.g. "train.epochs=3"'),
    trials: int = 200,
    tta_steps: int = 5,
    output: Path = Path("submission.csv"),
    device: str = typer.Option("", help="auto, cpu, cuda or mps"),
    seed: str = "",
) -> None:
    """Prepare, train, tune and ensemble in one run."""
    configs = load_configs(
        model, recipe=recipe, config=config, overrides=overrides, device=device, seed=seed
    )
    main(configs, data, test=test, trials=trials, tta_steps=tta_steps, output=output)


if __name__ == "__main__":
    run_entry_point(command)
