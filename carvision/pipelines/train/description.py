"""What a backbone's run says of its training: tags, settings, the data, augmented photos."""

import mlflow

from carvision.data.loading.preview import augmentation_preview
from carvision.pipelines.train.fold_set import FoldSet
from carvision.reporting.console import announce
from carvision.store.fold_sets import fold_set_tags
from carvision.store.prepared import log_data_input
from carvision.store.runs import log_settings
from carvision.store.server import TRACKING_ERRORS, require_server
from carvision.training import training_photos
from carvision.training.job import FoldJob


def log_description(fold_set: FoldSet) -> None:
    """Log in the open run what is trained; if that fails, training goes on."""
    job = fold_set.jobs[0]
    try:
        require_server()
        mlflow.set_tags(fold_set_tags(job))
        log_settings(job.config.model_dump(mode="json"))
        log_data_input(job.manifest, job.root, "training")
        if fold_set.missing:
            _log_preview(fold_set.missing[0])
    except TRACKING_ERRORS as error:
        announce(f"the run lacks its settings, and training goes on: {error}")


def _log_preview(job: FoldJob) -> None:
    """Log a sheet of 32 photos as training sees them: wrong augmentation is seen, not computed."""
    rows, _ = job.manifest.split(job.fold)
    photos = training_photos(job.config, rows, job.root, job.cache)
    mlflow.log_image(augmentation_preview(photos, job.config.seed), "augmentation.jpg")
