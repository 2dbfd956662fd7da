"""A backbone's configuration -> a YAML file of better settings, found by training it many times.

A run for the search, a child run for each trial, in that one for each fold. What was tried is in
the study (``optuna.db``): the same command goes on wherever it was stopped, in the middle of a
training, too.
"""

import hashlib
import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from carvision.config import Config, as_settings_file
from carvision.data.loading.cache import PhotoCache
from carvision.data.tables import spreadsheet_csv
from carvision.errors import CarvisionError, ConfigError, DivergedError, PrunedError
from carvision.files import alone, check_writable, replacing_output
from carvision.optuna_storage import quiet_optuna
from carvision.pipelines.caching import chosen_cache, write_cache
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.hpo.believed_trials import (
    BEST,
    RUN_ID,
    STUDY,
    BelievedTrials,
    run_named_by,
)
from carvision.pipelines.prepare.prepared_data import PreparedData, check_data, prepared_data
from carvision.pipelines.train.fold_run import train_for_search
from carvision.pipelines.train.step import check_trainable, parse_folds
from carvision.reporting.console import announce
from carvision.reporting.trial_table import show_trials
from carvision.store.fold_sets import finished_folds, set_name
from carvision.store.open_runs import tracked_run
from carvision.store.prepared import log_data_input
from carvision.store.runs import log_settings
from carvision.store.tags import DATA, MODEL, SET
from carvision.training.hyperparameter_search import (
    CONTINUES,
    Believe,
    TrialReporter,
    best_trials,
    done_trials,
    importance,
    open_search,
    search,
)
from carvision.training.hyperparameter_space import (
    configured,
    search_space,
    smallest_crop,
    starting_values,
)
from carvision.workspace import STUDY_STORAGE, study_lock

STAGE_HPO = "hpo"
STAGE_TRIAL = "hpo-trial"
STAGE_TRIAL_FOLD = "hpo-fold"
PRUNED = "carvision.pruned"
_SHOWN = 3


@dataclass(frozen=True)
class _Problem:
    """What is searched, and on what."""

    config: Config
    prepared: PreparedData
    folds: Sequence[int]

    @property
    def study_name(self) -> str:
        """Names the problem by its content: another space, seed or data is another study."""
        cache = chosen_cache(self.config, self.prepared)
        content = [self.set_id(self.config, cache), self.folds, repr(search_space(self.config))]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return f"hpo-{self.config.name}-{digest[:16]}"

    def set_id(self, config: Config, cache: PhotoCache | None) -> str:
        """What names one trial's training, whichever trial it is."""
        side = None if cache is None else cache.side
        return set_name(config, self.prepared.manifest.fingerprint, side)


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
        problem = _Problem(config, prepared, folds)
        chosen_cache(smallest_crop(config), prepared)  # a disk that is too small shows now
        name, fingerprint = problem.study_name, prepared.manifest.fingerprint
        mlflow.set_tags({MODEL: config.name, DATA: fingerprint, STUDY: name})
        log_settings(config.model_dump(mode="json"))
        log_data_input(prepared.manifest, prepared.layout.root, "training")
        with alone(study_lock(name), f"the study {name}"):
            study = open_search(name, STUDY_STORAGE, config)
            believe = BelievedTrials(name, config)
            _announce_found(study, trials, believe)
            report = _Progress(study, trials, believe)
            train_one = partial(_train, problem=problem)
            search(study, config, trials, train_one, report, believe)
            _conclude(study, problem, output, believe)
        show_address(run)
    return output


def _announce_found(study: optuna.Study, trials: int, believe: Believe) -> None:
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


class _Progress:
    """A line a trial: what came out, what is done, how long the rest will take."""

    def __init__(self, study: optuna.Study, trials: int, believe: Believe) -> None:
        self._study = study
        self._trials = trials
        self._believe = believe
        self._before = len(done_trials(study, believe))
        self._started = time.monotonic()

    def __call__(self, trial: FrozenTrial) -> None:
        done = len(done_trials(self._study, self._believe))
        best = best_trials(self._study, 1, self._believe)
        # A trial that is not believed is none that is done.
        minutes = (time.monotonic() - self._started) / 60 / max(1, done - self._before)
        left = f", about {minutes * (self._trials - done):.0f} min left"
        what = f"log loss {trial.value:.4f}" if trial.value is not None else "no result"
        if trial.state == TrialState.PRUNED:
            what = f"stopped at {what}, which is worse than most"
        if best:
            what += f"; the best is {best[0].value:.4f}, trial {best[0].number}"
            mlflow.log_metric("best/val_log_loss", best[0].value, step=done)
        announce(
            f"trial {trial.number}: {what}; {done} of {self._trials} done"
            f"{left if done < self._trials else ''}"
        )


def _train(trial: optuna.Trial, config: Config, problem: _Problem) -> float:
    """Train the trial's folds, or what is left of them; the mean of their best log losses."""
    cache = chosen_cache(config, problem.prepared)
    study = trial.study.study_name
    tags = {
        MODEL: config.name,
        DATA: problem.prepared.manifest.fingerprint,
        STUDY: study,
        SET: f"{study}-{problem.set_id(config, cache)}",
    }
    begun = run_named_by(trial.user_attrs)
    with tracked_run(STAGE_TRIAL, f"trial {trial.number}", tags, begun) as run:
        trial.set_user_attr(RUN_ID, run.info.run_id)
        if run.info.run_id != begun:
            log_settings(config.model_dump(mode="json"))
        try:
            value = _mean_loss(trial, config, problem, cache, tags)
        except (PrunedError, DivergedError) as error:
            announce(str(error))
            mlflow.set_tag(PRUNED, str(isinstance(error, PrunedError)).lower())
            _log_epochs(trial)
            raise
        _log_epochs(trial)
        mlflow.log_metric(BEST, value)
    return value


def _mean_loss(
    trial: optuna.Trial,
    config: Config,
    problem: _Problem,
    cache: PhotoCache | None,
    tags: dict[str, str],
) -> float:
    if cache is not None:
        write_cache(cache, problem.prepared.layout.root)
    # Those that were finished before the search was stopped.
    done = finished_folds(tags[SET], STAGE_TRIAL_FOLD)
    losses: list[float] = []
    for fold in problem.folds:
        if fold in done:
            losses.append(done[fold].data.metrics["best/val_log_loss"])
            continue
        reporter = TrialReporter(trial, config.train.epochs, len(problem.folds), losses)
        # Neither weights nor predictions are kept: the winner is trained again by ``train``.
        result = train_for_search(
            STAGE_TRIAL_FOLD, config, problem.prepared, cache, fold, tags, reporter
        )
        losses.append(result.metrics["val/log_loss"])
    return float(np.mean(losses))


def _log_epochs(trial: optuna.Trial) -> None:
    """The trial's curve, over the epochs of all its folds, into its own run."""
    for step, value in trial.study.trials[trial.number].intermediate_values.items():
        mlflow.log_metric("val/log_loss", value, step=step)


def _conclude(study: optuna.Study, problem: _Problem, output: Path, believe: Believe) -> None:
    """Write the settings found, and show what they are worth."""
    best = best_trials(study, _SHOWN, believe)
    if not best:
        raise CarvisionError(
            f"the loss of every trial exploded; try a smaller optimizer.lr (now "
            f"{problem.config.optimizer.lr}) or precision=fp32"
        )
    start = starting_values(problem.config)
    before = next((trial for trial in done_trials(study, believe) if trial.params == start), None)
    found = configured(problem.config, best[0].params)
    done = len(done_trials(study, believe))
    text = yaml.safe_dump(as_settings_file(found), sort_keys=False, allow_unicode=True)
    folds = ", ".join(str(fold) for fold in problem.folds)
    heading = (
        f"# {found.name}, fold {folds} of data {problem.prepared.manifest.fingerprint}: log loss "
        f"{best[0].value:.4f}, as configured {_value(before)}.\n"
        f"# The best of {done} trials, number {best[0].number} of study {study.study_name}.\n"
    )
    with replacing_output(output) as temporary:
        temporary.write_text(heading + text, encoding="utf-8")
    mlflow.log_artifact(str(output))
    mlflow.log_text(spreadsheet_csv(study.trials_dataframe()), "trials.csv")
    shares = importance(study, believe)
    mlflow.log_metrics({f"importance/{name}": share for name, share in shares.items()})
    show_trials(start, _value(before), best, shares)
    announce(f"written: {output.resolve()}")
    config = shlex.quote(f"config={output}")
    announce(f"train with it: mlflow run . -e train -P model={found.name} -P {config}")


def _value(trial: FrozenTrial | None) -> str:
    """A log loss, where there is one: the configuration's own may have exploded."""
    return "–" if trial is None or trial.value is None else f"{trial.value:.4f}"
