"""mlflow run . -e tune -P trials=200"""

import typer

from carvision.config import (
    choice,
    data_source,
    load_run_settings,
    number,
    split_models,
    step_setting_names,
    whole_number,
)
from carvision.pipelines.entry_point import run_entry_point


def command(
    data: str = typer.Option("latest", parser=data_source),
    model: str = typer.Option("", help="restricts the members: a,b; empty takes all there are"),
    trials: int = typer.Option(
        200,
        parser=whole_number("trials", 1),
        help="the study's total; a study that was stopped goes on",
    ),
    method: str = typer.Option(
        "study",
        parser=choice("method", "study", "weights"),
        help="study, or weights: raw weights by TPE",
    ),
    budget: float = typer.Option(
        0, parser=number("budget", 0), help="most seconds for 1,000 photos; 0 is no limit"
    ),
    config: str = typer.Option("", help="a YAML file of your own settings"),
    overrides: str = typer.Option("", "--set", help='e.g. "data.folds=3"'),
    seed: str = "",
) -> None:
    """Out-of-fold predictions to a registered ensemble."""
    settings = load_run_settings("tune", config=config, overrides=overrides, seed=seed)
    models = split_models(model) if model else []

    from carvision.pipelines.tune.step import tune

    tune(settings, data, models, trials, method, budget or None)


if __name__ == "__main__":
    run_entry_point(command, step_setting_names("tune"))
