"""mlflow run . -e bench -P what=input -P output=bench.json"""

import typer

from carvision.config import choice, data_source, path_text
from carvision.pipelines.entry_point import run_entry_point


def command(
    what: str = typer.Option(
        "input",
        parser=choice("what", "input", "prepare", "train", "backbones", "tune"),
        help="input, prepare, train, backbones or tune",
    ),
    data: str = typer.Option("latest", parser=data_source),
    output: str = typer.Option("", parser=path_text, help="a JSON file for the rows"),
) -> None:
    """Speed and memory against what a user would have done instead."""
    from carvision.pipelines.bench import bench

    bench(what, data, output)


if __name__ == "__main__":
    run_entry_point(command)
