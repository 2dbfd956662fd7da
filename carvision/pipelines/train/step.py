"""manifest -> out-of-fold predictions and a registered model, for each backbone.

A run for the backbone, a child run for each fold. Folds that an earlier run finished with the same
settings are taken over; whoever trains the rest registers the version. Only the beginning and the
registration need the tracking server: while it is away, training goes on, and results wait. A fold
that fails ends none of the others: what is finished is registered, and the error comes at the end.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import mlflow
from mlflow.entities import Run

from carvision.config import Config
from carvision.data.loading.cache import PhotoCache
from carvision.data.loading.preview import augmentation_preview
from carvision.errors import CarvisionError, ConfigError, IncompleteError, TrackingError
from carvision.inference import resolve_device
from carvision.inference.cuda import refuse_unfit_card
from carvision.models import build_model, ensure_weights
from carvision.pipelines.caching import write_cache
from carvision.pipelines.command import command_run, command_to_go_on, show_address
from carvision.pipelines.prepare.prepared_data import PreparedData, check_data, prepared_data
from carvision.pipelines.train.fold_run import train_in_own_run
from carvision.pipelines.train.fold_set import FoldSet, fold_set_of, register_if_reachable
from carvision.reporting.console import announce
from carvision.store.open_runs import tracked_run_if_reachable
from carvision.store.prepared import log_data_input
from carvision.store.runs import log_settings
from carvision.store.server import TRACKING_ERRORS, require_server
from carvision.store.versions import MemberVersion
from carvision.tracking.outbox.folds import is_finished
from carvision.tracking.wandb_tracker import check_wandb
from carvision.training import training_photos
from carvision.workspace import fold_folder

STAGE_TRAIN = "train"


def train(configs: Sequence[Config], data: str, fold: str, resume: str) -> list[MemberVersion]:
    """The entry point: train each of ``configs`` on ``fold`` (``all``, ``2`` or ``1,3``).

    ``resume`` is ``auto`` or ``never``: whether folds that were finished before are taken over, and
    whether a fold that was stopped goes on.

    Raises:
        CarvisionError: anything that would stop a run later is refused before the first one.
        IncompleteError: folds or backbones failed; the others are trained and registered.
        TrackingError: what was trained could not be registered: the tracking server is away.
    """
    if resume not in ("auto", "never"):
        raise ConfigError(f"resume={resume!r}: expected auto or never")
    check_data(data)
    check_trainable(configs)
    names = ",".join(config.name for config in configs)
    with command_run(STAGE_TRAIN, f"train {names}") as run:
        prepared = prepared_data(configs[0], data)
        folds = parse_folds(fold, prepared.manifest.folds)
        # Before the first one: a disk that is too small shows, and the server may go away.
        fold_sets = [fold_set_of(config, prepared, resume) for config in configs]
        versions = _train_each(run, fold_sets, folds, resume)
        if len(fold_sets) > 1:  # a single backbone's run is this one, and shown already
            show_address(run)
        return versions


def check_trainable(configs: Sequence[Config]) -> None:
    """Refuse before any work what would stop a backbone's training.

    Raises:
        CarvisionError: a device or weights that cannot be had, a size that does not suit.
    """
    if len(configs) > 1 and any(config.model.weights for config in configs):
        raise ConfigError("model.weights=FILE is of one backbone: give a single model=")
    for config in configs:
        check_wandb(config.tracking.wandb)
        refuse_unfit_card(resolve_device(config.device))
        ensure_weights(config)
        # Built once and thrown away: a size or a file that does not fit shows here, not after the
        # backbones before it were trained for hours.
        build_model(config, classes=2, pretrained=config.model.pretrained)


def _train_each(
    run: Run, fold_sets: Sequence[FoldSet], folds: Sequence[int], resume: str
) -> list[MemberVersion]:
    """Train the backbones one after the other; several each in a run of its own.

    Raises:
        IncompleteError: at the end, what failed and why.
        TrackingError: at the end, when all that failed is the registration.
    """
    versions, failed = [], {}
    for fold_set in fold_sets:
        name = fold_set.config.name
        own: AbstractContextManager[Run | None] = nullcontext(run)
        if len(fold_sets) > 1:
            own = tracked_run_if_reachable(STAGE_TRAIN, f"train {name}")
        try:
            with own as child:
                versions.append(_train_backbone(child, fold_set, folds, resume))
        except CarvisionError as error:
            if len(fold_sets) > 1:
                announce(f"{name} is not complete: {error}")
            failed[name] = error
    if failed:
        raise _what_failed(failed)
    return versions


def _what_failed(failed: Mapping[str, CarvisionError]) -> CarvisionError:
    """One error for all of a night: ``failed`` by the backbone's name."""
    errors = list(failed.values())
    if len(errors) == 1 and not isinstance(errors[0], IncompleteError):
        return errors[0]
    if not all(isinstance(error, TrackingError) for error in errors):
        return IncompleteError(
            "\n".join(map(str, errors)) + "\nThe rest is trained, and kept. Once the cause is "
            f"mended, this goes on with what failed: {command_to_go_on()}"
        )
    return TrackingError(
        f"trained, and not registered yet: {', '.join(failed)}; run the same command again "
        "once the tracking server is back"
    )


def _train_backbone(
    run: Run | None, fold_set: FoldSet, folds: Sequence[int], resume: str
) -> MemberVersion:
    """Train what is missing of ``folds``, and register what the set has by then.

    Raises:
        IncompleteError: folds failed, each with its reason; what is finished is registered, or the
            message says why not.
        TrackingError: all is trained, and cannot be registered now.
    """
    missing = [fold for fold in folds if fold not in fold_set.done]
    if missing and fold_set.cache is not None:
        write_cache(fold_set.cache, fold_set.prepared.layout.root)
    if run is not None:
        _describe(fold_set, missing)
    failed = _train_folds(fold_set, folds, resume)
    try:
        version = register_if_reachable(run, fold_set)
    except TrackingError as error:
        if failed:
            raise IncompleteError("\n".join([*failed, str(error)])) from error
        raise
    if failed:
        raise IncompleteError("\n".join(failed))
    assert version is not None  # each of its folds is finished
    show_address(run)
    return version


def _train_folds(fold_set: FoldSet, folds: Sequence[int], resume: str) -> list[str]:
    """Train those that are not finished; which of them failed, and why."""
    name, failed = fold_set.config.name, []
    batch_size = None
    for fold in folds:
        folder = fold_folder(fold_set.set_id, fold)
        if fold in fold_set.done:
            announce(
                f"{name} fold {fold}: finished before with these settings, in run "
                f"{fold_set.done[fold].info.run_id}; taken over (resume=never trains it again)"
            )
        elif is_finished(folder):
            announce(f"{name} fold {fold}: finished before, and waits to be logged")
        else:
            try:
                batch_size = train_in_own_run(
                    fold_set.config,
                    fold_set.prepared,
                    fold_set.cache,
                    fold,
                    fold_set.tags,
                    anew=resume == "never",
                    batch_size=batch_size,
                )
            except CarvisionError as error:
                # Hours of the other folds do not hang on this one.
                failed.append(f"{name} fold {fold} failed: {error}")
                announce(failed[-1])
    return failed


def _describe(fold_set: FoldSet, missing: Sequence[int]) -> None:
    """Tell the open run what is trained; training does not hang on that."""
    prepared = fold_set.prepared
    try:
        require_server()
        mlflow.set_tags(fold_set.tags)
        log_settings(fold_set.config.model_dump(mode="json"))
        log_data_input(prepared.manifest, prepared.layout.root, "training")
        if missing:
            _log_preview(fold_set.config, prepared, missing[0], fold_set.cache)
    except TRACKING_ERRORS as error:
        announce(f"the run lacks its settings, and training goes on: {error}")


def _log_preview(
    config: Config, prepared: PreparedData, fold: int, cache: PhotoCache | None
) -> None:
    """Log a sheet of 32 photos as training sees them: wrong augmentation is seen, not computed."""
    rows, _ = prepared.manifest.split(fold)
    photos = training_photos(config, rows, prepared.layout.root, cache)
    mlflow.log_image(augmentation_preview(photos, config.seed), "augmentation.jpg")


def parse_folds(fold: str, folds: int) -> list[int]:
    everything = list(range(1, folds + 1))
    if fold == "all":
        return everything
    try:
        wanted = sorted({int(part) for part in fold.split(",")})
    except ValueError:
        raise ConfigError(f"fold={fold!r}: expected all, or numbers from 1") from None
    if not set(wanted) <= set(everything):
        raise ConfigError(f"fold={fold!r}: this data has the folds 1 to {folds}")
    return wanted
