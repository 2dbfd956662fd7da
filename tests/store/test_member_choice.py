"""Which registered backbones an ensemble mixes."""

import logging
from types import SimpleNamespace

import pytest

from carvision.store import member_choice
from carvision.store.member_choice import choose_members
from carvision.store.member_versions import MemberVersion


def _version(name: str, folds: str, loss: float, smoke: bool = False) -> MemberVersion:
    tags = {
        "carvision.model": name,
        "carvision.fold": folds,
        "carvision.oof_log_loss": repr(loss),
        "carvision.trial_run": str(smoke).lower(),
    }
    return MemberVersion(SimpleNamespace(name=f"carvision-{name}", version="1", tags=tags))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("versions", "chosen", "said"),
    [
        # More folds make no better backbone.
        (
            [("swin", "1,2,3,4", 0.3), ("convnext", "1,2,3,4", 0.31), ("lite", "1,2,3,4,5", 1.9)],
            ["convnext", "lite", "swin"],
            ["carvision-swin version 1, the best, has fold 1, 2, 3, 4 alone"],
        ),
        # The best is whole: what is not stays out.
        (
            [("swin", "1,2,3,4", 0.3), ("convnext", "1,2,3,4,5", 0.29), ("lite", "1,2,3,4,5", 1.9)],
            ["convnext", "lite"],
            ["left out: carvision-swin version 1, it lacks fold 5"],
        ),
        # Of as many folds, but not the same ones.
        (
            [("swin", "1,2", 0.3), ("lite", "2,3", 0.4)],
            ["swin"],
            ["left out: carvision-lite version 1, it lacks fold 1"],
        ),
        # As good as each other: the whole one is the best.
        ([("swin", "1", 0.3), ("lite", "1,2", 0.3)], ["lite"], ["swin version 1, it lacks fold 2"]),
        # A smoke run's loss is of a few photos.
        (
            [("swin", "1,2", 0.01, True), ("lite", "1,2", 0.3)],
            ["lite"],
            ["left out: carvision-swin version 1, a smoke run"],
        ),
        ([("swin", "1", 0.1, True), ("lite", "1,2", 0.3, True)], ["lite", "swin"], ["the best"]),
        ([("swin", "1,2", 0.1), ("lite", "1,2", 0.3)], ["lite", "swin"], []),
    ],
)
def test_the_best_backbone_and_those_that_share_its_photos(
    versions: list[tuple],
    chosen: list[str],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = [_version(*version) for version in versions]
    monkeypatch.setattr(member_choice, "members_of", lambda fingerprint: found)
    with caplog.at_level(logging.INFO, "carvision"):
        taken = choose_members("d", ())
    assert [member.preset for member in taken] == chosen
    # Never a set whose best is worse than the best that is left out.
    out = [one.oof_log_loss for one in found if one not in taken and not one.smoke_run]
    assert min(one.oof_log_loss for one in taken) <= min(out, default=9)
    assert len(caplog.messages) == len(said)
    for message in said:
        assert message in caplog.text
