"""Versions of registered backbones: those of ours, and those that others registered."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from carvision.contracts.checksums import sums_of
from carvision.errors import TrackingError
from carvision.store.member_versions import MemberVersion, damage_of, member_of, member_or_none
from tests.hostile_names import HOSTILE

RUNS = ("a" * 32, "b" * 32)
TAGS = {
    "carvision.model": "lite",
    "carvision.data": "0123456789abcdef",
    "carvision.set": "fedcba9876543210",
    "carvision.fold": "1,2",
    "carvision.fold_runs": ",".join(RUNS),
    "carvision.trial_run": "false",
    "carvision.ensemble_weight": "20",
    "carvision.oof_log_loss": "0.25",
}


def entry(
    name: str = "carvision-lite", version: str = "3", created: int = 1000, **tags: str | None
) -> SimpleNamespace:
    """A version as MLflow hands it out; ``tags`` by the last part of their names, None for none."""
    given = TAGS | {f"carvision.{key}": value for key, value in tags.items()}
    known = {key: value for key, value in given.items() if value is not None}
    return SimpleNamespace(name=name, version=version, creation_timestamp=created, tags=known)


def test_a_version_of_ours() -> None:
    member = member_of(entry())  # type: ignore[arg-type]
    assert (member.preset, member.version, member.data) == ("lite", 3, "0123456789abcdef")
    assert (member.folds, member.fold_runs) == ((1, 2), list(RUNS))
    assert member.rank == (False, -2, 0.25)


@pytest.mark.parametrize("tag", TAGS)
def test_a_version_without_a_tag_is_not_ours(tag: str) -> None:
    found = entry(**{tag.removeprefix("carvision."): None})
    with pytest.raises(TrackingError, match=rf"carvision-lite version 3 .*{tag} is missing"):
        member_of(found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("fold", "x"),
        ("fold", ""),
        ("fold", "0,1"),
        ("fold", "1,1"),
        ("fold", "1,-2"),
        ("fold", "1,2,3"),
        ("fold", "1.5,2"),
        ("fold_runs", ""),
        ("fold_runs", "../../x,y"),
        ("fold_runs", RUNS[0]),
        ("fold_runs", f"{RUNS[0]},/etc/passwd"),
        ("trial_run", "yes"),
        ("ensemble_weight", "heavy"),
        ("ensemble_weight", "nan"),
        ("ensemble_weight", "0"),
        ("ensemble_weight", "-1"),
        ("oof_log_loss", "nan"),
        ("oof_log_loss", "inf"),
        ("oof_log_loss", "-5"),
        ("oof_log_loss", "none"),
        ("model", "other"),
    ],
)
def test_a_tag_that_says_something_else_is_not_ours(tag: str, value: str) -> None:
    with pytest.raises(TrackingError, match="carvision-lite version 3 was not registered by"):
        member_of(entry(**{tag: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize("tag", ["model", "data", "set"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_tag_that_would_lead_elsewhere_is_not_ours(tag: str, name: str) -> None:
    with pytest.raises(TrackingError, match="was not registered by carvision"):
        member_of(entry(name=f"carvision-{name}", **{tag: name}))  # type: ignore[arg-type]


def test_what_is_not_ours_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "carvision"):
        assert member_or_none(entry(fold=None)) is None  # type: ignore[arg-type]
        assert isinstance(member_or_none(entry()), MemberVersion)  # type: ignore[arg-type]
    (line,) = caplog.messages
    assert line.startswith("carvision-lite version 3 was not registered by carvision")


def test_files_of_a_version_from_before_are_not_checked_which_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "carvision"):
        for _ in range(3):
            assert damage_of(entry(version="77"), tmp_path) is None  # type: ignore[arg-type]
    assert caplog.messages == [
        "carvision-lite version 77 was registered without sums: its files are not checked"
    ]


def test_a_missing_or_changed_file_of_a_version_is_damage(tmp_path: Path) -> None:
    (tmp_path / "fold1.safetensors").write_bytes(b"weights")
    found = entry(sha256=sums_of(tmp_path))
    assert damage_of(found, tmp_path) is None  # type: ignore[arg-type]
    (tmp_path / "fold1.safetensors").write_bytes(b"weightz")
    assert "fold1.safetensors is not" in str(damage_of(found, tmp_path))  # type: ignore[arg-type]
    (tmp_path / "fold1.safetensors").unlink()
    assert damage_of(found, tmp_path) == "fold1.safetensors is missing"  # type: ignore[arg-type]
