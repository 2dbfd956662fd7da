"""Aliases: one champion for each data set, and a general one that stays with its data."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from carvision.errors import TrackingError
from carvision.store.champions import (
    champion_alias,
    champion_ensemble,
    crown_ensemble,
    crown_member,
    data_champion,
    other_champions,
    registered_at,
)
from carvision.store.member_versions import member_of
from tests.hostile_names import HOSTILE
from tests.store.test_member_versions import TAGS

A, B = "a" * 16, "b" * 16


@pytest.fixture
def client(store: Path) -> MlflowClient:
    """A registry without any of these models."""
    client = MlflowClient()
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    for name in ("carvision-lite", "carvision-ensemble"):
        client.create_registered_model(name)
    return client


def _member(client: MlflowClient, data: str, loss: float, smoke: bool = False) -> None:
    """Register a backbone, and let it become the champion of its data if it is better."""
    own = {"data": data, "oof_log_loss": repr(loss), "trial_run": str(smoke).lower()}
    tags = TAGS | {f"carvision.{key}": value for key, value in own.items()}
    crown_member(member_of(client.create_model_version("carvision-lite", "s", tags=tags)))


def _aliases(client: MlflowClient, name: str = "carvision-lite") -> dict[str, int]:
    aliases = client.get_registered_model(name).aliases
    return {alias: int(version) for alias, version in aliases.items()}


@pytest.mark.parametrize(
    ("registered", "champion", "of_a", "of_b"),
    [
        ([(A, 0.5)], 1, 1, None),
        ([(A, 0.5), (A, 0.4)], 2, 2, None),
        ([(A, 0.5), (A, 0.6)], 1, 1, None),
        # Better on other data is not better.
        ([(A, 0.5), (B, 0.1)], 1, 1, 2),
        ([(A, 0.5), (B, 0.1), (A, 0.4)], 3, 3, 2),
        ([(A, 0.5), (B, 0.1), (B, 0.2)], 1, 1, 2),
        ([(A, 0.5), (B, 0.2), (B, 0.1)], 1, 1, 3),
        ([(A, 0.5, True), (A, 0.9)], 2, 2, None),
        ([(A, 0.5), (A, 0.1, True)], 1, 1, None),
        ([(A, 0.5), (B, 0.1, True)], 1, 1, 2),
    ],
)
def test_each_data_has_its_best_backbone(
    registered: list[tuple],
    champion: int,
    of_a: int,
    of_b: int | None,
    client: MlflowClient,
) -> None:
    for one in registered:
        _member(client, *one)
    expected = {"champion": champion, f"champion-{A}": of_a, f"champion-{B}": of_b}
    assert _aliases(client) == {alias: number for alias, number in expected.items() if number}


def test_a_store_with_the_one_alias_goes_on(client: MlflowClient) -> None:
    """As earlier versions left it: no champion by its data."""
    _member(client, A, 0.5)
    client.delete_registered_model_alias("carvision-lite", f"champion-{A}")
    _member(client, A, 0.6)
    assert _aliases(client) == {"champion": 1}
    _member(client, A, 0.4)
    assert _aliases(client) == {"champion": 3, f"champion-{A}": 3}


def test_one_that_was_set_by_hand_counts_on_its_data(client: MlflowClient) -> None:
    _member(client, A, 0.5)
    _member(client, A, 0.3)
    client.set_registered_model_alias("carvision-lite", "champion", "1")
    _member(client, A, 0.4)
    assert _aliases(client) == {"champion": 3, f"champion-{A}": 3}


@pytest.mark.parametrize(
    "tags", [{}, {"carvision.model": "lite"}, TAGS | {"carvision.fold": "x"}, {"a": "b"}]
)
def test_a_champion_that_others_registered_gives_way_with_a_line(
    tags: dict[str, str], client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.create_model_version("carvision-lite", "s", tags=tags)
    client.set_registered_model_alias("carvision-lite", "champion", "1")
    _member(client, A, 0.5)
    assert _aliases(client) == {"champion": 2, f"champion-{A}": 2}
    assert "carvision-lite version 1 was not registered by carvision" in caplog.text


def test_each_data_has_its_ensemble(client: MlflowClient) -> None:
    name = "carvision-ensemble"
    for data in (A, B, A, B):
        client.create_model_version(name, "s", tags={"carvision.data": data})
    assert crown_ensemble(1) == ""
    left = crown_ensemble(2)
    assert "version 2 is the champion of its data; the alias champion stays with version 1" in left
    assert f"set_registered_model_alias('{name}', 'champion', 2)" in left
    assert _aliases(client, name) == {"champion": 1, f"champion-{A}": 1, f"champion-{B}": 2}
    assert crown_ensemble(3) == ""
    assert crown_ensemble(4) != ""
    assert _aliases(client, name) == {"champion": 3, f"champion-{A}": 3, f"champion-{B}": 4}


def test_an_ensemble_without_its_file_is_one_sentence(client: MlflowClient) -> None:
    assert champion_ensemble() is None
    assert data_champion(A) is None
    assert other_champions() == []
    client.create_model_version("carvision-ensemble", str(Path.cwd() / "nowhere"))
    for alias in ("champion", f"champion-{A}"):
        client.set_registered_model_alias("carvision-ensemble", alias, "1")
    what = r"carvision-ensemble version 1, which has the alias {}, cannot be used: .*\n.*-e tune"
    with pytest.raises(TrackingError, match="(?s)" + what.format("champion")):
        champion_ensemble()
    with pytest.raises(TrackingError, match="(?s)" + what.format(f"champion-{A}")):
        data_champion(A)
    assert other_champions() == []
    # Tuned again, it gives way.
    client.create_model_version("carvision-ensemble", "s", tags={"carvision.data": A})
    assert crown_ensemble(2) == ""
    assert _aliases(client, "carvision-ensemble") == {"champion": 2, f"champion-{A}": 2}


def test_a_version_that_does_not_exist_was_never_registered(client: MlflowClient) -> None:
    assert registered_at(7) is None


@pytest.mark.parametrize("data", HOSTILE)
def test_an_alias_is_of_a_plain_name(data: str) -> None:
    with pytest.raises(ValueError):
        champion_alias(data)
