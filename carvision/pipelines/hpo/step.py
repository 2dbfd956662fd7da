"""A backbone's configuration -> a YAML file of better settings, found by training it many times.

The search has a run, each of its trials a child run, and in that each fold. What was tried is in
the study (``optuna.db``): the same command goes on wherever it was stopped, even in the middle of a
training.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import mlflow

from carvision.config import Config
from carvision.data.loading.cache_choice import chosen_cache
from carvision.errors import ConfigError
from carvision.files import alone, check_writable
from carvision.optuna_storage import quiet_optuna
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.hpo.believed_trials import BelievedTrials
from carvision.pipelines.hpo.report import announce_study, conclude, trial_report
from carvision.pipelines.hpo.trial import train_trial
from carvision.pipelines.prepare.prepared_data import check_data, prepared_data
from carvision.pipelines.train.step import check_trainable, parse_folds
from carvision.store.prepared import log_data_input
from carvision.store.runs import log_settings
from carvision.store.tags import DATA, MODEL, STUDY
from carvision.training.hyperparameter_search import open_search, search
from carvision.training.hyperparameter_space import search_space, smallest_crop
from carvision.training.job import FoldJob, fold_jobs
from carvision.workspace import STUDY_STORAGE, study_lock

STAGE_HPO = "hpo"


def hpo(config: Config, data: str, *, fold: str, trials: int, output: Path) -> Path:
    """The entry point: search ``config``'s settings by their log loss on ``fold``.

    ``trials`` is the study's total. The settings found go to ``output``, for ``train``'s
    ``config=``; they are never worse on these folds than ``config`` as it is.

    Raises:
        CarvisionError: anything that would stop a training is refused before the first one; or the
            loss of every trial exploded.
    """
    quiet_optuna()
    if trials < 1:
        raise ConfigError(f"trials: expected at least 1, got {trials}")
    check_writable(output)
    check_data(data)
    check_trainable([config])
    with command_run(STAGE_HPO, f"hpo {config.name}") as run:
        prepared = prepared_data(config, data)
        folds = parse_folds(fold, prepared.manifest.folds)
        jobs = fold_jobs(config, prepared.manifest, prepared.layout.root, folds)
        # A disk that is too small for the largest cache of any trial is refused now.
        chosen_cache(smallest_crop(config), prepared.manifest)
        _describe(jobs)
        _search(jobs, trials, output)
        show_address(run)
    return output


def study_name(jobs: Sequence[FoldJob]) -> str:
    """Name a search by its content: another space, seed or data is another study."""
    config, folds = jobs[0].config, [job.fold for job in jobs]
    content = [jobs[0].set_id, folds, repr(search_space(config))]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return f"hpo-{config.name}-{digest[:16]}"


def _describe(jobs: Sequence[FoldJob]) -> None:
    """Log in the open run what is searched."""
    config, manifest = jobs[0].config, jobs[0].manifest
    mlflow.set_tags({MODEL: config.name, DATA: manifest.fingerprint, STUDY: study_name(jobs)})
    log_settings(config.model_dump(mode="json"))
    log_data_input(manifest, jobs[0].root, "training")


def _search(jobs: Sequence[FoldJob], trials: int, output: Path) -> None:
    name, config = study_name(jobs), jobs[0].config
    with alone(study_lock(name), f"the study {name}"):
        study = open_search(name, STUDY_STORAGE, config)
        believe = BelievedTrials(name, config)
        announce_study(study, trials, believe)
        report = trial_report(study, trials, believe)
        search(study, config, trials, partial(train_trial, jobs=jobs), report, believe)
        conclude(study, jobs, output, believe)
