"""The tracking server of the tracking's own tests, for pipelines that lose it."""

from tests.tracking.conftest import server

__all__ = ["server"]
