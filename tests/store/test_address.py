"""Addresses of stores: those that MLflow can open, and one sentence about all others."""

import sys

import pytest

from carvision.errors import TrackingError
from carvision.store.address import refuse_unusable


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///mlflow.db",
        "http://127.0.0.1:5000",
        "https://user:password@host/prefix",
        "file:///runs",
        "databricks",
        "databricks://profile",
        "runs",
        "/a/path",
        "C:\\runs",
    ],
)
def test_what_mlflow_may_open(uri: str) -> None:
    assert refuse_unusable(uri) is None


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("bogus://x", "bogus://x is of no known kind: expected sqlite:///FILE"),
        ("htp://127.0.0.1:5000", "is of no known kind"),
        ("localhost:5000", "localhost:5000 is of no known kind"),
        ("s3://bucket/runs", "is of no known kind"),
        ("sqlite:/x", "sqlite:/x is of no known kind"),
        ("mysql+foo://h/db", "is of no known kind"),
    ],
)
def test_what_is_no_address(uri: str, told: str) -> None:
    with pytest.raises(TrackingError) as error:
        refuse_unusable(uri)
    assert told in str(error.value)


def test_a_database_whose_driver_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(TrackingError) as error:
        refuse_unusable("postgresql+psycopg2://kim:s3cret@host/db")
    assert "pip install psycopg2" in str(error.value)
    assert "s3cret" not in str(error.value)
