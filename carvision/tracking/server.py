"""Whether a tracking server answers, found out in seconds.

MLflow itself tries a call again for minutes before it says so (MLFLOW_HTTP_REQUEST_MAX_RETRIES).
"""

import urllib.error
import urllib.request
from ssl import SSLError

import mlflow

_SECONDS = 3.0


def unreachable() -> str | None:
    """Why the tracking server cannot be reached; None where it answers, or where there is none."""
    uri = mlflow.get_tracking_uri().rstrip("/")
    if not uri.startswith(("http://", "https://")):
        return None
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=_SECONDS):
            return None
    except urllib.error.HTTPError:
        return None  # a login is asked for, or a proxy speaks: somebody is there
    except OSError as error:
        reason = getattr(error, "reason", error)
        # A certificate of one's own: MLflow has its settings for it, which do not count here.
        return None if isinstance(reason, SSLError) else str(reason)
    except ValueError as error:  # HTTPException is none, but an address can be malformed
        return str(error)
