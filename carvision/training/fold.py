"""Train one backbone on one fold."""

from carvision.contracts import Tracker
from carvision.inference import resolve_device
from carvision.inference.memory import release_memory
from carvision.training.fold_result import FoldResult
from carvision.training.job import FoldJob
from carvision.training.learner import UpdateCutShortError
from carvision.training.trainer import FoldTraining


def train_fold(job: FoldJob, tracker: Tracker, batch_size: int | None = None) -> FoldResult:
    """Train on all folds but the job's; checkpoints and weights go to its folder.

    Goes on from the newest intact checkpoint there: to the same weights, on a CPU in fp32 bit by
    bit, as if it had never stopped. Training reads the job's cache where there is one; validation
    reads the files, as the test will.

    The best epoch is the one of the lowest validation log loss, of the network or of its moving
    average. Its predictions cover all views of every validation photo; in a smoke run
    (``train.max_steps``), of no more validation photos than the run trained on.

    ``train.batch_size=auto`` becomes what the fold began with, else ``batch_size`` (what the other
    folds of the set have), else the largest that fits.

    Raises:
        DivergedError: the loss exploded.
        CarvisionError: a photo or the weights cannot be read, or the disk is full.
        ConfigError: the checkpoint is of another configuration, or of other data.
    """
    at_a_time: int | None = None
    while True:
        try:
            return FoldTraining(job, tracker, batch_size, at_a_time).run()
        except UpdateCutShortError as error:
            at_a_time = error.smaller
        # Outside of the handler: the error holds on to all that was in memory.
        release_memory(resolve_device(job.config.device))
        tracker.warning(
            "out of memory while the weights were updated: going on from the last checkpoint with "
            f"{at_a_time} images at a time; gradients add up, so that a step sees the whole batch"
        )
