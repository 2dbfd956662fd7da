"""The errors that carvision raises on purpose; each message says what to do.

Everything derives from :class:`CarvisionError`, which the entry points print as one plain message.
Any other exception is a defect, and keeps its traceback.
"""

from collections.abc import Iterator


class CarvisionError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(CarvisionError):
    """An unknown key, a value of the wrong type, or a combination that cannot run."""


class DataError(CarvisionError):
    """Photos, a test list, a template or answers that cannot be used as they are."""


class WeightsError(CarvisionError):
    """Pretrained or stored weights that cannot be had, or do not fit the model."""


class PredictionsError(CarvisionError):
    """Stored predictions that are incomplete, repeated, or of other data than expected."""


class TrackingError(CarvisionError):
    """The tracking store or the registry lacks something that a step needs."""


class GoneError(TrackingError):
    """What the tracking store names was removed from it: a run, its files, a version's files."""


class DivergedError(CarvisionError):
    """A training whose loss exploded; with other settings it may not."""


class IncompleteError(CarvisionError):
    """Folds or backbones that failed, said when a training that went on without them is over."""


class PrunedError(CarvisionError):
    """A tracker's word that a training is not worth going on with: a trial that others outdo."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those that it was raised from or after, the latest first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
