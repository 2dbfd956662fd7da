"""The errors that carvision raises on purpose; each message says what to do.

All derive from :class:`CarvisionError`, which the entry points print without a traceback. Any other
exception is a defect and keeps its traceback.
"""

from collections.abc import Iterator


class CarvisionError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(CarvisionError):
    """Raised for an unknown setting, a value of the wrong type, or an impossible combination."""


class DataError(CarvisionError):
    """Raised for photos, a test list, a template or answers that cannot be used as they are."""


class WeightsError(CarvisionError):
    """Raised when weights cannot be found or downloaded, are damaged, or do not fit the model."""


class PredictionsError(CarvisionError):
    """Raised for stored predictions that are incomplete, damaged, or of other data."""


class TrackingError(CarvisionError):
    """Raised when the tracking store or the registry cannot be used, or lacks what a step needs."""


class GoneError(TrackingError):
    """Raised when a run, its files or the files of a version were removed from the store."""


class DivergedError(CarvisionError):
    """Raised when the loss of a training is no longer finite, or explodes."""


class IncompleteError(CarvisionError):
    """Raised at the end of a training in which folds or backbones failed, and others did not."""


class PrunedError(CarvisionError):
    """Raised by a tracker to prune a trial of a search."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those that it was raised from or after, the latest first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
