"""Console lines of a search: its study at the start, each trial, the result at the end."""

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import mlflow
import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from carvision.config import Config, as_settings_file
from carvision.data.tables import spreadsheet_csv
from carvision.errors import CarvisionError
from carvision.files import replacing_output
from carvision.pipelines.hpo.believed_trials import BEST
from carvision.reporting.console import announce
from carvision.reporting.trial_table import show_trials
from carvision.training.hyperparameter_search import (
    CONTINUES,
    Believe,
    best_trials,
    done_trials,
    importance,
)
from carvision.training.hyperparameter_space import configured, starting_values
from carvision.training.job import FoldJob
from carvision.workspace import STUDY_STORAGE

_SHOWN = 3


def announce_study(study: optuna.Study, trials: int, believe: Believe) -> None:
    """Say how many of ``trials`` the study has, and which of them go on."""
    done = done_trials(study, believe)
    best = best_trials(study, 1, believe)
    known = f", the best log loss is {best[0].value:.4f}" if best else ""
    name = f"{study.study_name} of {STUDY_STORAGE}"
    announce(f"study {name}: {len(done)} of {trials} trials are done{known}")
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if CONTINUES in trial.user_attrs:
            announce(
                f"trial {trial.user_attrs[CONTINUES]} was stopped; trial {trial.number} goes on "
                "from its checkpoint"
            )


def trial_report(
    study: optuna.Study, trials: int, believe: Believe
) -> Callable[[FrozenTrial], None]:
    """A function that prints a line for a trial: its result, what is done, the time that is left.

    The time is estimated from the trials that end after this call.
    """
    done_before, started = len(done_trials(study, believe)), time.monotonic()

    def report(trial: FrozenTrial) -> None:
        done = len(done_trials(study, believe))
        best = best_trials(study, 1, believe)
        what = f"log loss {trial.value:.4f}" if trial.value is not None else "no result"
        if trial.state == TrialState.PRUNED:
            what = f"stopped at {what}, which is worse than most"
        if best:
            what += f"; the best is {best[0].value:.4f}, trial {best[0].number}"
            mlflow.log_metric(BEST, best[0].value, step=done)
        # A trial that is not believed is not done.
        minutes = (time.monotonic() - started) / 60 / max(1, done - done_before)
        left = f", about {minutes * (trials - done):.0f} min left" if done < trials else ""
        announce(f"trial {trial.number}: {what}; {done} of {trials} done{left}")

    return report


def conclude(study: optuna.Study, jobs: Sequence[FoldJob], output: Path, believe: Believe) -> None:
    """Write the best settings to ``output``, log and show them.

    ``jobs`` are of the configuration that the search began with.

    Raises:
        CarvisionError: the loss of every trial exploded.
    """
    config = jobs[0].config
    best = best_trials(study, _SHOWN, believe)
    if not best:
        raise CarvisionError(
            f"the loss of every trial exploded; try a smaller optimizer.lr (now "
            f"{config.optimizer.lr}) or precision=fp32"
        )
    done, start = done_trials(study, believe), starting_values(config)
    as_configured = _loss(next((trial for trial in done if trial.params == start), None))
    found = configured(config, best[0].params)
    folds = ", ".join(str(job.fold) for job in jobs)
    heading = (
        f"# {found.name}, fold {folds} of data {jobs[0].manifest.fingerprint}: log loss "
        f"{best[0].value:.4f}, as configured {as_configured}.\n"
        f"# The best of {len(done)} trials, number {best[0].number} of study {study.study_name}.\n"
    )
    _write(output, heading, found)
    mlflow.log_artifact(str(output))
    mlflow.log_text(spreadsheet_csv(study.trials_dataframe()), "trials.csv")
    shares = importance(study, believe)
    mlflow.log_metrics({f"importance/{name}": share for name, share in shares.items()})
    show_trials(start, as_configured, best, shares)
    announce(f"written: {output.resolve()}")
    argument = shlex.quote(f"config={output}")
    announce(f"train with it: mlflow run . -e train -P model={found.name} -P {argument}")


def _write(output: Path, heading: str, found: Config) -> None:
    text = yaml.safe_dump(as_settings_file(found), sort_keys=False, allow_unicode=True)
    with replacing_output(output) as temporary:
        temporary.write_text(heading + text, encoding="utf-8")


def _loss(trial: FrozenTrial | None) -> str:
    """A log loss as text; a dash without one: the loss of the configuration itself may explode."""
    return "–" if trial is None or trial.value is None else f"{trial.value:.4f}"
