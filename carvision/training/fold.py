"""Train one backbone on one fold."""

from carvision.contracts import Tracker
from carvision.inference import resolve_device
from carvision.inference.memory import configure_allocator, release_memory
from carvision.training.builder import build_trainer
from carvision.training.fold_result import FoldResult
from carvision.training.job import FoldJob
from carvision.training.learner import UpdateCutShortError


def train_fold(job: FoldJob, tracker: Tracker, batch_size: int | None = None) -> FoldResult:
    """Train on all folds but the job's; checkpoints and weights go to its folder.

    Training goes on from the newest intact checkpoint there, to the same weights as if it had never
    stopped: bit by bit on a CPU in fp32. It reads the job's cache where there is one; validation
    reads the files, as inference will.

    The best epoch is the one of the lowest validation log loss, of the network or of its moving
    average. Its predictions cover all views of every validation photo; in a smoke run
    (``train.max_steps``), of no more validation photos than the run trained on.

    ``train.batch_size=auto`` takes the batch size that the fold began with, else ``batch_size``
    (that of the set's other folds), else the largest that fits.

    Raises:
        DivergedError: the loss exploded.
        CarvisionError: a photo or the weights cannot be read, or the disk is full.
        ConfigError: the checkpoint is of another configuration, or of other data.
    """
    device = resolve_device(job.config.device)
    configure_allocator(device)
    micro_batch: int | None = None
    while True:
        try:
            return build_trainer(job, tracker, batch_size, micro_batch).run()
        except UpdateCutShortError as error:
            micro_batch = error.micro_batch
        # Outside of the handler: the error holds on to everything that was in memory.
        release_memory(device)
        tracker.warning(
            "out of memory while the weights were updated: going on from the last checkpoint with "
            f"{micro_batch} images at a time; gradients add up, so that a step sees the whole batch"
        )
