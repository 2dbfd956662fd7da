"""out-of-fold predictions -> a registered ensemble."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from carvision.config import RunSettings
from carvision.contracts import EnsembleSpec
from carvision.data.manifest import Manifest
from carvision.ensembling.blend import Scorer
from carvision.ensembling.cross_fitting import assign_crossfit_folds
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.temperature_grid import TemperatureGrid
from carvision.errors import ConfigError
from carvision.files import scratch_folder
from carvision.optuna_storage import quiet_optuna
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.prepare.prepared_data import check_data, known_manifest
from carvision.pipelines.tune.leaderboard_report import log_leaderboard
from carvision.pipelines.tune.methods import METHODS, TuneSettings, tune_by_method
from carvision.pipelines.tune.oof_reports import ReportInputs, log_oof_photos
from carvision.pipelines.tune.oof_table import fetch_oof_table
from carvision.pipelines.tune.register_ensemble import finish_delivery, to_register
from carvision.reporting.console import announce, progress
from carvision.reporting.tables import show_weights
from carvision.store.member_choice import choose_members
from carvision.store.member_versions import MemberVersion
from carvision.store.pins import build_spec
from carvision.store.tags import DATA
from carvision.tracking.outbox.record import log_params, set_tags
from carvision.tracking.outbox.steps import recorded

STAGE_TUNE: Final = "tune"


def tune(
    config: RunSettings,
    data: str,
    models: Sequence[str],
    trials: int,
    method: str = "study",
    budget: float | None = None,
) -> EnsembleSpec:
    """Mix the registered backbones of ``data``, or those that ``models`` names.

    ``method`` is ``study`` or ``weights``; ``budget`` is the highest cost of the ensemble, in
    seconds for 1,000 photos.

    Raises:
        ConfigError: there is no such method, or no ensemble within the budget.
        TrackingError: no backbone was trained on this data.
        PredictionsError: the members share no photo, or do not fit together.
    """
    quiet_optuna()
    if method not in METHODS:
        raise ConfigError(f"method={method!r}: expected one of {', '.join(METHODS)}")
    check_data(data)
    with command_run(STAGE_TUNE, "tune") as run, recorded(run, finish_delivery) as record:
        manifest = known_manifest(config, data)
        set_tags({DATA: manifest.fingerprint})
        members = choose_members(manifest.fingerprint, models)
        with scratch_folder() as folder:
            table = fetch_oof_table(manifest, members, folder)
            settings = TuneSettings(method, trials, config.seed, budget)
            # Fetched before a search of perhaps hours, in which the server may go away.
            inputs = ReportInputs.fetched(manifest, members, folder)
            spec = _tune(manifest, members, table, settings, inputs)
        to_register(record, spec, manifest.fingerprint)
        show_weights(spec)
        show_address(run)
    return spec


def _tune(
    manifest: Manifest,
    members: Sequence[MemberVersion],
    table: OofTable,
    settings: TuneSettings,
    inputs: ReportInputs,
) -> EnsembleSpec:
    """Search, log the results, and describe the ensemble found."""
    with progress("reading predictions", len(table.index)) as advance:
        scorer = Scorer(table, TemperatureGrid.of(table, advance))
    crossfit_folds = assign_crossfit_folds(table.index, settings.seed)
    if table.index["fold"].nunique() != len(np.unique(crossfit_folds)):
        announce(
            "too few folds for cross-fitting: the photos are dealt into parts by group instead"
        )
    result = tune_by_method(scorer, crossfit_folds, settings)
    score = log_leaderboard(scorer, crossfit_folds, result, manifest.fingerprint, settings.seed)
    log_oof_photos(manifest, members, scorer, result, settings.seed, inputs)
    tuned, blend = result.tuned, result.tuned.blend
    log_params({"rule": blend.rule, "mixing": blend.mixing, "shrinkage": blend.shrinkage})
    return build_spec(
        manifest.classes,
        members,
        weights=dict(zip(table.candidates, tuned.weights.tolist(), strict=True)),
        temperatures=blend.temperatures,
        mixing=blend.mixing,
        score=score,
    )
