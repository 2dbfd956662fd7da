"""One trial of a search: its folds are trained for their log loss alone.

Neither weights nor predictions are kept: ``train`` trains the best settings again.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import optuna

from carvision.config import Config
from carvision.data.loading.cache_choice import chosen_cache
from carvision.errors import DivergedError, PrunedError
from carvision.pipelines.caching import write_cache
from carvision.pipelines.hpo.believed_trials import BEST, RUN_ID, run_named_by
from carvision.pipelines.train.begun_folds import begun_run
from carvision.pipelines.train.fold_run import train_with_trackers
from carvision.reporting.console import announce
from carvision.store.fold_sets import best_metrics, finished_folds, fold_set_tags, fold_tags
from carvision.store.open_runs import tracked_run
from carvision.store.runs import log_settings
from carvision.tracking.event_log import EVENTS_FILE
from carvision.tracking.outbox.events import SENT_FILE, pending
from carvision.training.hyperparameter_search import TrialReporter
from carvision.training.job import FoldJob

STAGE_TRIAL = "hpo-trial"
STAGE_TRIAL_FOLD = "hpo-fold"
PRUNED = "carvision.pruned"


def train_trial(trial: optuna.Trial, config: Config, jobs: Sequence[FoldJob]) -> float:
    """Train a trial's folds, or what is left of them; return the mean of their best log losses.

    ``jobs`` are of the search's own configuration, ``config`` is the trial's.

    Raises:
        PrunedError: most finished trials were better at the same epoch.
        CarvisionError: as :func:`carvision.training.train_fold`.
    """
    cache = chosen_cache(config, jobs[0].manifest)
    study = trial.study.study_name
    own = [replace(job, config=config, cache=cache, study=study) for job in jobs]
    begun = run_named_by(trial.user_attrs)
    with tracked_run(STAGE_TRIAL, f"trial {trial.number}", fold_set_tags(own[0]), begun) as run:
        trial.set_user_attr(RUN_ID, run.info.run_id)
        if run.info.run_id != begun:
            log_settings(config.model_dump(mode="json"))
        try:
            value = _mean_loss(trial, own)
        except (PrunedError, DivergedError) as error:
            announce(str(error))
            mlflow.set_tag(PRUNED, str(isinstance(error, PrunedError)).lower())
            _log_epochs(trial)
            raise
        _log_epochs(trial)
        mlflow.log_metric(BEST, value)
    return value


def _mean_loss(trial: optuna.Trial, jobs: Sequence[FoldJob]) -> float:
    write_cache(jobs[0])
    # Those that were finished before the search was stopped.
    finished = finished_folds(jobs[0].set_id, STAGE_TRIAL_FOLD)
    losses: list[float] = []
    for job in jobs:
        if job.fold in finished:
            losses.append(finished[job.fold].data.metrics[BEST])
        else:
            reporter = TrialReporter(trial, job.config.train.epochs, len(jobs), losses)
            losses.append(_fold_loss(job, reporter))
    return float(np.mean(losses))


def _fold_loss(job: FoldJob, reporter: TrialReporter) -> float:
    """Train a fold in its own run; its best log loss. Then its files are removed.

    Raises:
        PrunedError: ``reporter`` ended the training; its files are removed, too.
        DivergedError: the loss exploded; its files are removed, too.
    """
    try:
        with tracked_run(STAGE_TRIAL_FOLD, job.name, fold_tags(job), begun_run(job)) as run:
            result = train_with_trackers(job, run, listener=reporter)
            mlflow.log_metrics(best_metrics(result))
    except (PrunedError, DivergedError):
        _remove_files(job.folder)
        raise
    _remove_files(job.folder)
    return result.metrics["val/log_loss"]


def _remove_files(folder: Path) -> None:
    """Remove the files of a fold, except those that ``sync`` needs to send the rest of them."""
    kept = {EVENTS_FILE, SENT_FILE} if pending(folder / EVENTS_FILE) else set()
    for path in list(folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()
    for emptied in (folder, folder.parent):
        if not any(emptied.iterdir()):
            emptied.rmdir()


def _log_epochs(trial: optuna.Trial) -> None:
    """Log the trial's curve, over the epochs of all its folds, in its own run."""
    for step, value in trial.study.trials[trial.number].intermediate_values.items():
        mlflow.log_metric("val/log_loss", value, step=step)
