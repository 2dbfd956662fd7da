"""out-of-fold predictions -> a registered ensemble."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from carvision.config import RunSettings
from carvision.contracts import EnsembleSpec, Score
from carvision.data.manifest import Manifest
from carvision.data.tables import spreadsheet_csv
from carvision.ensembling.blend import Scorer
from carvision.ensembling.bootstrap import bootstrap_interval
from carvision.ensembling.cross_fitting import assign_crossfit_folds
from carvision.ensembling.exact import duality_gap
from carvision.ensembling.leaderboard import FittedBlend, leaderboard, simple_blends
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.pareto import score_against_cost
from carvision.ensembling.temperature_grid import TemperatureGrid
from carvision.errors import ConfigError
from carvision.files import scratch_folder
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.prepare.prepared_data import check_data, known_manifest
from carvision.pipelines.tune.methods import METHODS, Settings, tuned_by_method
from carvision.pipelines.tune.oof_reports import Fetched, log_oof_photos
from carvision.pipelines.tune.oof_table import fetch_oof_table
from carvision.pipelines.tune.registration import finish_delivery, to_register
from carvision.reporting.console import announce, progress
from carvision.reporting.ensemble_page import ensemble_page
from carvision.reporting.tables import show_leaderboard, show_weights
from carvision.store.members import choose_members
from carvision.store.pins import build_spec
from carvision.store.runs import DATA
from carvision.store.versions import MemberVersion
from carvision.tracking.outbox.record import log_metrics, log_params, log_text, set_tags
from carvision.tracking.outbox.steps import recorded

STAGE_TUNE = "tune"
_TUNED = "tuned"
#: Nats; below it exact weights are as good as exact.
_GAP = 1e-8


def tune(
    config: RunSettings,
    data: str,
    models: Sequence[str],
    trials: int,
    method: str = "study",
    budget: float | None = None,
) -> EnsembleSpec:
    """The entry point: mix the registered backbones of ``data`` (or ``models`` of them).

    ``method`` is ``study`` or ``weights``; ``budget`` is the most that the ensemble may cost, in
    seconds for 1,000 photos.

    Raises:
        ConfigError: there is no such method, or no ensemble within the budget.
        TrackingError: no backbone was trained on this data.
        PredictionsError: the members share no photo, or do not fit together.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method!r}: expected one of {', '.join(METHODS)}")
    check_data(data)
    with command_run(STAGE_TUNE, "tune") as run, recorded(run, finish_delivery) as record:
        manifest = known_manifest(config, data)
        set_tags({DATA: manifest.fingerprint})
        members = choose_members(manifest.fingerprint, models)
        with scratch_folder() as folder:
            table = fetch_oof_table(manifest, members, folder)
            settings = Settings(method, trials, config.seed, budget)
            # All that the server has to give, before hours that it may be away.
            fetched = Fetched.of(manifest, members, folder)
            spec = _tune(manifest, members, table, settings, fetched)
        to_register(record, spec, manifest.fingerprint)
        show_weights(spec)
        show_address(run)
    return spec


def _tune(
    manifest: Manifest,
    members: Sequence[MemberVersion],
    table: OofTable,
    settings: Settings,
    fetched: Fetched,
) -> EnsembleSpec:
    with progress("reading predictions", len(table.index)) as advance:
        scorer = Scorer(table, TemperatureGrid.of(table, advance))
    crossfit_folds = assign_crossfit_folds(table.index, settings.seed)
    if table.index["fold"].nunique() != len(np.unique(crossfit_folds)):
        announce("too few folds to leave one out by turns: the photos are dealt into others")
    tuning = tuned_by_method(scorer, crossfit_folds, settings)
    tuned = tuning.contestant
    contestants = simple_blends(scorer, crossfit_folds) | {_TUNED: tuned}
    with progress("leaderboard", len(contestants)) as advance:
        standings = leaderboard(scorer, contestants, advance)
    subsets = 2 ** len(table.members) - 1
    with progress("subsets of the members", subsets) as advance:
        front = score_against_cost(scorer, crossfit_folds, advance)
    own = next(standing for standing in standings if standing.name == _TUNED)
    low, high = bootstrap_interval(
        -tuned.nested_log_p, table.index["group"].tolist(), settings.seed
    )
    log_metrics(
        {
            "oof/log_loss": own.fitted,
            "oof/nested_log_loss": own.nested,
            "oof/nested_log_loss_low": low,
            "oof/nested_log_loss_high": high,
            "oof/accuracy": own.accuracy,
            "trials": float(len(tuning.study.trials)),
        }
        | {f"leaderboard/{each.name.replace(' ', '_')}": each.nested for each in standings}
    )
    _log_gap(scorer, tuned, contestants["exact"])
    show_leaderboard(len(table.index), standings, (low, high))
    log_text(spreadsheet_csv(pd.DataFrame(map(asdict, standings))), "leaderboard.csv")
    log_text(spreadsheet_csv(pd.DataFrame(map(asdict, front))), "subsets.csv")
    page = ensemble_page(scorer, tuned, standings, front, tuning.study)
    log_text(page, "ensemble.html")
    score = Score(
        log_loss=own.fitted,
        nested=own.nested,
        low=low,
        high=high,
        data=manifest.fingerprint,
        folds=tuple(sorted(set(table.index["fold"].astype(int)))),
        images=len(table.index),
    )
    log_oof_photos(manifest, members, scorer, tuning, settings.seed, fetched)
    blend = tuned.blend
    log_params({"rule": blend.rule, "mixing": blend.mixing, "shrinkage": blend.shrinkage})
    return build_spec(
        manifest.classes,
        members,
        weights=dict(zip(table.candidates, tuned.weights.tolist(), strict=True)),
        temperatures=blend.temperatures,
        mixing=blend.mixing,
        score=score,
    )


def _log_gap(scorer: Scorer, tuned: FittedBlend, plain: FittedBlend) -> None:
    """How far the weights can be from the optimum: a proof where they are the exact rule's.

    Weights that are shrunk, or mixed geometrically, are no optimum; there it is the ``plain`` exact
    rule's.
    """
    blend = tuned.blend
    exact = (blend.rule, blend.mixing, blend.shrinkage) == ("exact", "arithmetic", 0)
    proved = tuned if exact else plain
    chosen = np.flatnonzero(proved.blend.admitted)
    gap = duality_gap(scorer.true_class(proved.blend)[:, chosen], proved.weights[chosen])
    log_metrics({"exact/duality_gap" if exact else "exact/duality_gap_untempered": gap})
    if gap > _GAP:
        announce(f"exact weights may be up to {gap:.1g} nats above the optimum")
