"""mlflow run . -e tune -P trials=200"""

import typer

from carvision.config import load_config, split_models
from carvision.pipelines import run_entry_point, tune


def command(
    data: str = "latest",
    model: str = typer.Option("", help="restricts the members: a,b; empty takes all there are"),
    trials: int = typer.Option(200, help="the study's total; a study that was stopped goes on"),
    seed: str = "",
) -> None:
    """Out-of-fold predictions to a registered ensemble."""
    models = split_models(model) if model else []
    tune(load_config(seed=seed), data, models, trials)


if __name__ == "__main__":
    run_entry_point(command)
