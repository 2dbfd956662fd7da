"""Which checkpoints a fold goes on from, and how a refusal names the difference."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from carvision.errors import ConfigError
from carvision.training import CheckpointWriter
from carvision.training.identity import differences, refuse_another
from tests.jobs import job_of
from tests.training.conftest import Data, job_in, tiny, train_in

_PATH = Path("step00000001.pt")


def test_the_same_job_goes_on() -> None:
    identity = job_of("seed=3", cache_side=64).identity
    refuse_another(_PATH, json.loads(json.dumps(identity)), identity)
    assert differences(identity, identity) == []


def test_the_first_five_differences_are_named() -> None:
    before = job_of(cache_side=64)
    many = "seed=3 optimizer.lr=0.1 loss.name=focal train.epochs=2 train.batch_size=8"
    now = job_of(many, fingerprint="other")
    changed = differences(before.identity, now.identity)
    assert changed[:2] == ["data: data → other", "cache_side: 64 → None"]
    assert changed[2].startswith("loss.name: ")
    assert len(changed) == 5


def test_a_weights_file_is_named_without_its_sum() -> None:
    none = job_of()
    one, other = replace(none, weights_sum="1" * 64), replace(none, weights_sum="2" * 64)
    assert differences(none.identity, one.identity) == ["model.weights: None → a file"]
    assert differences(one.identity, none.identity) == ["model.weights: a file → None"]
    assert differences(one.identity, other.identity) == ["model.weights: another file"]


def test_a_checkpoint_of_an_earlier_version_is_refused(data: Data, tmp_path: Path) -> None:
    """That version wrote the identity as JSON, and called the file of weights "a file"."""
    config = tiny("train.max_steps=1")
    identity = job_in(tmp_path, data, config).identity | {"checkpoint": 2}
    writer = CheckpointWriter(tmp_path)
    writer.write(
        3,
        {
            "identity": json.dumps(identity, sort_keys=True),
            "batch_size": 8,
            "learner": {"step": 3},
            "position": {"epoch": 2, "step": 3, "images": 0, "steps": 0, "loss_sum": 0.0},
            "outcome": {"best": None},
            "watch": {"waited": 0},
        },
    )
    writer.wait()
    with pytest.raises(ConfigError, match="written by another version of carvision") as caught:
        train_in(data, config, tmp_path)
    assert str(tmp_path / "step00000003.pt") in str(caught.value)
    assert "resume=never does" in str(caught.value)
    # Whoever goes back to that version finds it untouched.
    assert (tmp_path / "step00000003.pt").exists()
    shutil.rmtree(tmp_path)
    assert train_in(data, config, tmp_path).best_epoch == 1
