"""prepare -> train -> tune -> ensemble, in one run with a child run for each step."""

from collections.abc import Sequence
from pathlib import Path

from carvision.config import Config
from carvision.files import check_writable
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.ensemble.input_checks import SubmissionInput, check_test, find_test
from carvision.pipelines.ensemble.step import ensemble
from carvision.pipelines.prepare.prepared_data import check_data, prepared_data
from carvision.pipelines.train.step import check_trainable, train
from carvision.pipelines.tune.step import tune


def main(
    configs: Sequence[Config],
    data: str,
    *,
    test: str,
    trials: int,
    tta_steps: int,
    output: Path,
) -> None:
    """Run each step as it runs by itself, on the same data: the entry point."""
    check_data(data)
    check_test(data, test)
    check_writable(output)
    check_trainable(configs)
    with command_run("main", "main") as run:
        prepared = prepared_data(configs[0], data)
        root = str(prepared.layout.root)
        # The last step's input is checked before hours are spent on the others.
        given = SubmissionInput.checked(*find_test(root, test), prepared.manifest.classes)
        train(configs, root, fold="all", resume="auto")
        tune(configs[0], root, [config.name for config in configs], trials)
        ensemble(
            configs[0],
            root,
            test=test,
            output=output,
            tta_steps=tta_steps,
            checked=given.unreadable,
        )
        show_address(run)
