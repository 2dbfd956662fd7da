"""A fold's job: its identity is that of everything that changes the result, and it pickles."""

import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from carvision.config import load_config
from carvision.training import FoldResult, train_fold
from carvision.training.job import FoldJob, fold_jobs
from tests.jobs import job_of
from tests.training.conftest import Data, Recorder, Run, job_in, tiny

#: What earlier versions called the same fold sets: finished folds are found by it.
FINGERPRINT = "0123456789abcdef"
EARLIER = {
    "as configured": "163562e0070ce937",
    "a cache of 256 px": "ec416c7b18a8bddd",
    "a weights file": "8c8cf2731ce9b4f4",
    "swin_large, a cache of 512 px": "f520a454a9bafb66",
    "an unknown precision": "f528f3aa1047efbc",
}


def test_fold_sets_of_earlier_versions_are_found_again(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    swin = load_config("swin_large", overrides="precision=fp32", device="cpu")
    plain = job_of(fingerprint=FINGERPRINT)
    jobs = (
        plain,
        job_of(fingerprint=FINGERPRINT, cache_side=256),
        job_of(f"model.weights={weights}", fingerprint=FINGERPRINT),
        job_of(config=swin, fingerprint=FINGERPRINT, cache_side=512),
        replace(plain, precision="auto"),
    )
    assert [job.set_id for job in jobs] == list(EARLIER.values())
    assert replace(plain, study="hpo-x").set_id == f"hpo-x-{EARLIER['as configured']}"
    assert plain.of_fold(3).folder == Path("work/folds") / EARLIER["as configured"] / "fold3"


@pytest.mark.parametrize(
    ("overrides", "fingerprint", "same"),
    [
        ("loader.workers=0 inference.batch_size=3", "data", True),
        ("tracking.wandb=offline", "data", True),
        ("train.checkpoint_minutes=1", "data", True),
        ("optimizer.lr=1e-4", "data", False),
        ("seed=1", "data", False),
        ("", "other data", False),
    ],
)
def test_only_what_changes_the_result_counts(overrides: str, fingerprint: str, same: bool) -> None:
    job = job_of(overrides, fingerprint=fingerprint)
    assert (job.set_id == job_of().set_id) is same
    assert (job.identity == job_of().identity) is same


def test_the_folds_of_a_set_differ_in_their_identity_alone() -> None:
    first = job_of()
    second = first.of_fold(2)
    assert (first.name, second.name) == ("efficientnet_lite0 fold 1", "efficientnet_lite0 fold 2")
    assert first.set_id == second.set_id
    assert first.identity | {"fold": 2} == second.identity != first.identity


@pytest.mark.parametrize("native", [True, False])
def test_the_precision_that_auto_means_counts(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    auto, bf16, fp32 = (
        job_of(config=load_config(device="cpu", overrides=f"precision={precision}")).set_id
        for precision in ("auto", "bf16", "fp32")
    )
    assert bf16 != fp32
    assert auto == (bf16 if native else fp32)


def test_the_content_of_a_weights_file_counts(tmp_path: Path) -> None:
    names = []
    for folder, content in {"here": b"a", "there": b"a", "elsewhere": b"b"}.items():
        file = tmp_path / folder / "weights.pth"
        file.parent.mkdir()
        file.write_bytes(content)
        names.append(job_of(f"model.weights={file}").set_id)
    assert names[0] == names[1] != names[2]
    assert names[0] != job_of().set_id


def test_the_cache_that_is_really_used_counts() -> None:
    # The same setting, with photos that are and are not worth a cache.
    cached, plain = (job_of("data.cache=256", cache_side=side) for side in (256, None))
    assert cached.set_id != plain.set_id == job_of("data.cache=off").set_id


def _trained_elsewhere(pickled: bytes) -> tuple[FoldJob, FoldResult, bool]:
    job = pickle.loads(pickled)
    torch.set_num_threads(1)
    return job, train_fold(job, Recorder()), "mlflow" in sys.modules


def test_a_job_trains_the_same_in_another_process(data: Data, trained: Run, tmp_path: Path) -> None:
    """Without MLflow, and without anything of the process that made it."""
    job = job_in(tmp_path, data, tiny("train.epochs=3"), fold=2)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        again, result, with_mlflow = apart.submit(_trained_elsewhere, pickle.dumps(job)).result()
    assert (again.set_id, again.identity, again.folder) == (job.set_id, job.identity, job.folder)
    assert result.metrics == trained.result.metrics
    assert result.epochs_true_class.tolist() == trained.result.epochs_true_class.tolist()
    assert not with_mlflow


def test_one_cache_for_all_folds(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, third = fold_jobs(tiny("data.cache=64"), data.manifest, data.root, [1, 3])
    assert (first.fold, third.fold) == (1, 3)
    assert first.cache is third.cache is not None
    assert first.cache.side == 64
    assert first.folder.parent == third.folder.parent == first.set_folder
