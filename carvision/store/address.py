"""Addresses: which of them are refused as a tracking store, and that of a run's page."""

from functools import cache
from typing import Final

import mlflow
from mlflow.entities import Run
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.tracking._tracking_service.utils import _tracking_store_registry
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from carvision.errors import TrackingError
from carvision.redaction import redacted
from carvision.store.server import shown_uri

_EXPECTED: Final = (
    "expected sqlite:///FILE, http://HOST:PORT of a tracking server, or a database such as "
    "postgresql://HOST/NAME; set MLFLOW_TRACKING_URI, or unset it to keep the runs here"
)


@cache
def refuse_unusable(uri: str) -> None:
    """Refuse an address of a kind that MLflow does not know, or of a database without its driver.

    MLflow itself would answer with a traceback.

    Raises:
        TrackingError: with the kinds that are known, or the package to install.
    """
    scheme = uri.partition(":")[0].lower()
    if scheme.partition("+")[0] in DATABASE_ENGINES:
        _refuse_absent_driver(uri)
    # Plugins register more schemes. Without a scheme, or with a drive's letter, it is a path.
    elif ":" in uri and len(scheme) > 1 and scheme not in _tracking_store_registry._registry:
        raise TrackingError(
            f"the tracking address {redacted(uri)} is of no known kind: {_EXPECTED}"
        )


def _refuse_absent_driver(uri: str) -> None:
    try:
        make_url(uri).get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"the database {redacted(uri)} needs the Python package {error.name}: install it "
            f"(pip install {error.name}), then run this again"
        ) from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise TrackingError(
            f"the tracking address {redacted(uri)} is of no known kind ({error}): {_EXPECTED}"
        ) from error


def run_address(run: Run) -> str:
    """The address of a run's page in the UI; that of a local store has to be started."""
    uri = shown_uri()
    base = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{base}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def is_local_store() -> bool:
    """Whether the store has no server, so that its UI has to be started."""
    return not mlflow.get_tracking_uri().startswith("http")
