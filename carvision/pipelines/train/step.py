"""manifest -> out-of-fold predictions and a registered model, for each backbone.

A backbone has a run, and each of its folds a child run. Folds that an earlier run finished with the
same settings are taken over; whoever trains the rest registers the version. Only the beginning and
the registration need the tracking server: while it is away, training goes on, and results wait. A
fold that fails ends none of the others: what is finished is registered, and the error comes at the
end.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from mlflow.entities import Run

from carvision.config import Config
from carvision.errors import CarvisionError, ConfigError, IncompleteError, TrackingError
from carvision.inference import resolve_device
from carvision.inference.cuda import refuse_unfit_card
from carvision.models import build_model, ensure_weights
from carvision.pipelines.caching import write_cache
from carvision.pipelines.command import command_run, command_to_go_on, show_address
from carvision.pipelines.prepare.prepared_data import check_data, prepared_data
from carvision.pipelines.train.description import log_description
from carvision.pipelines.train.fold_run import train_in_own_run
from carvision.pipelines.train.fold_set import FoldSet, fold_set_of
from carvision.pipelines.train.register_backbone import register_if_reachable
from carvision.reporting.console import announce
from carvision.store.member_versions import MemberVersion
from carvision.store.open_runs import tracked_run_if_reachable
from carvision.tracking.outbox.folds import is_finished
from carvision.tracking.wandb_tracker import check_wandb

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
        # All of them before the first is trained: a disk that is too small is refused now, and the
        # server may go away later.
        fold_sets = [fold_set_of(config, prepared, folds, resume) for config in configs]
        versions = _train_each(run, fold_sets)
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
        # Built once and thrown away: a size or a file that does not fit is refused here, and not
        # after the backbones before it were trained for hours.
        build_model(config, classes=2, pretrained=config.model.pretrained)


def _train_each(run: Run, fold_sets: Sequence[FoldSet]) -> list[MemberVersion]:
    """Train the backbones one after the other; if there are several, each gets a run of its own.

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
                versions.append(_train_backbone(fold_set, child, parent=child or run))
        except CarvisionError as error:
            if len(fold_sets) > 1:
                announce(f"{name} is not complete: {error}")
            failed[name] = error
    if failed:
        raise _what_failed(failed)
    return versions


def _what_failed(failed: Mapping[str, CarvisionError]) -> CarvisionError:
    """One error for all backbones that ``failed``, by their names."""
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


def _train_backbone(fold_set: FoldSet, run: Run | None, parent: Run) -> MemberVersion:
    """Train the folds that are missing, and register what the set has by then.

    ``run`` is the backbone's, None if it could not be opened; ``parent`` gets the folds' runs.

    Raises:
        IncompleteError: folds failed, each with its reason; what is finished is registered, or the
            message says why not.
        TrackingError: all is trained, and cannot be registered now.
    """
    if fold_set.missing:
        write_cache(fold_set.jobs[0])
    if run is not None:
        log_description(fold_set)
    failed = _train_folds(fold_set, parent)
    try:
        version = register_if_reachable(fold_set.jobs[0], run)
    except TrackingError as error:
        if failed:
            raise IncompleteError("\n".join([*failed, str(error)])) from error
        raise
    if failed:
        raise IncompleteError("\n".join(failed))
    assert version is not None  # each of its folds is finished
    show_address(run)
    return version


def _train_folds(fold_set: FoldSet, parent: Run) -> list[str]:
    """Train the folds that are not finished; return which of them failed, and why."""
    failed, batch_size = [], None
    for job in fold_set.jobs:
        if (finished := fold_set.finished.get(job.fold)) is not None:
            announce(
                f"{job.name}: finished before with these settings, in run "
                f"{finished.info.run_id}; taken over (resume=never trains it again)"
            )
        elif is_finished(job.folder):
            announce(f"{job.name}: finished before, and waits to be logged")
        else:
            try:
                batch_size = train_in_own_run(
                    job, parent.info.run_id, anew=fold_set.anew, batch_size=batch_size
                )
            except CarvisionError as error:
                # The other folds' hours of training do not depend on this one.
                failed.append(f"{job.name} failed: {error}")
                announce(failed[-1])
    return failed


def parse_folds(fold: str, folds: int) -> list[int]:
    """Read ``all``, ``2`` or ``1,3``, of data that has ``folds`` folds.

    Raises:
        ConfigError: it is none of these, or there is no such fold.
    """
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
