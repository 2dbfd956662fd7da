"""mlflow run . -e tune -P trials=200"""

import typer

from carvision.config import data_source, load_config, number, split_models, stripped, whole_number
from carvision.pipelines.entry_point import run_entry_point
from carvision.pipelines.tune.step import tune


def command(
    data: str = typer.Option("latest", parser=data_source),
    model: str = typer.Option("", help="restricts the members: a,b; empty takes all there are"),
    trials: int = typer.Option(
        200,
        parser=whole_number("trials", 1),
        help="the study's total; a study that was stopped goes on",
    ),
    method: str = typer.Option(
        "study", parser=stripped, help="study, or weights: raw weights by TPE"
    ),
    budget: float = typer.Option(
        0, parser=number("budget", 0), help="most seconds for 1,000 photos; 0 is no limit"
    ),
    seed: str = "",
) -> None:
    """Out-of-fold predictions to a registered ensemble."""
    models = split_models(model) if model else []
    tune(load_config(seed=seed), data, models, trials, method, budget or None)


if __name__ == "__main__":
    run_entry_point(command)
