"""Pinned members: by name, number and identity."""

from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST

from carvision.contracts import EnsembleSpec, Member, Score
from carvision.errors import TrackingError
from carvision.store import pins
from carvision.store.pins import pinned_members
from tests.store.test_member_versions import RUNS, TAGS, entry


def _spec(data: str = TAGS["carvision.data"], **pin: object) -> EnsembleSpec:
    member = {
        "preset": "lite",
        "registered_model": "carvision-lite",
        "version": 3,
        "weights": {"original": 1.0},
        "temperatures": {"original": 1.0},
    }
    return EnsembleSpec(
        members=(Member.model_validate(member | pin),),
        mixing="arithmetic",
        class_names=("a", "b"),
        class_folders=(("a",), ("b",)),
        score=Score(log_loss=0.1, data=data, folds=(1, 2), images=9),
    )


PIN = {"fold_set": TAGS["carvision.set"], "fold_runs": RUNS}


def _registry(monkeypatch: pytest.MonkeyPatch, found: SimpleNamespace | None) -> None:
    def get_model_version(name: str, version: str) -> SimpleNamespace:
        if found is None or (name, version) != (found.name, found.version):
            raise MlflowException("not found", RESOURCE_DOES_NOT_EXIST)
        return found

    registry = SimpleNamespace(get_model_version=get_model_version)
    monkeypatch.setattr(pins, "client", lambda: registry)


@pytest.mark.parametrize(
    ("pin", "tuned_at"),
    # Clocks do not count where the identity is known.
    [(PIN, 2000), (PIN, None), (PIN, 500), ({}, 1000), ({}, 2000), ({}, None)],
)
def test_who_was_pinned_is_found(
    pin: dict[str, object], tuned_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _registry(monkeypatch, entry())
    (member,) = pinned_members(_spec(**pin), tuned_at)
    assert member.version == 3


@pytest.mark.parametrize(
    ("pin", "tags", "message"),
    [
        (PIN, {"set": "0" * 16}, f"pinned was the fold set {PIN['fold_set']}, this .* {'0' * 16}"),
        (PIN, {"fold_runs": f"{RUNS[0]},{'c' * 32}"}, f"pinned were the fold runs .*{'c' * 32}"),
        (PIN, {"fold_runs": RUNS[0], "fold": "1"}, "pinned were the fold runs"),
        (PIN, {"data": "other"}, "tuned on data 0123456789abcdef, this version on other"),
        ({}, {"data": "other"}, "tuned on data 0123456789abcdef, this version on other"),
        (PIN, {"model": "swin"}, "was not registered by carvision"),
        (PIN, {"set": None}, "tag carvision.set is missing"),
        ({}, {"fold": "x"}, "tag carvision.fold is 'x'"),
    ],
)
def test_another_one_under_the_same_number_is_named(
    pin: dict[str, object],
    tags: dict[str, str | None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _registry(monkeypatch, entry(**tags))
    with pytest.raises(TrackingError, match=f"carvision-lite version 3 .*{message}.*-e tune"):
        pinned_members(_spec(**pin), 2000)


def test_of_an_ensemble_from_before_what_came_later_is_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _registry(monkeypatch, entry(created=3000))
    with pytest.raises(TrackingError, match=r"registered at 1970-01-01 00:00:02 UTC.*later.*:03"):
        pinned_members(_spec(), 2000)


def test_one_that_was_deleted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _registry(monkeypatch, None)
    with pytest.raises(TrackingError, match=r"no carvision-lite version 3, .* -e tune"):
        pinned_members(_spec(**PIN), 2000)


@pytest.mark.parametrize("code", [INTERNAL_ERROR, PERMISSION_DENIED])
def test_a_registry_that_cannot_be_asked_is_no_answer(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A champion whose members nobody could ask for would lose its place to any other ensemble."""

    def get_model_version(name: str, version: str) -> None:
        raise MlflowException("the server is away", code)

    registry = SimpleNamespace(get_model_version=get_model_version)
    monkeypatch.setattr(pins, "client", lambda: registry)
    with pytest.raises(MlflowException, match="away"):
        pinned_members(_spec(**PIN), 2000)


def test_another_backbone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _registry(monkeypatch, entry())
    with pytest.raises(TrackingError, match="pinned was swin, this version is lite"):
        pinned_members(_spec(**PIN, preset="swin"), 2000)
