"""What is registered is what is used: members that changed, files that changed, other data."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import mlflow
import optuna
import pytest
from mlflow.tracking import MlflowClient

from carvision.config import Config, load_config
from carvision.errors import CarvisionError, TrackingError, WeightsError
from carvision.pipelines.ensemble.step import ensemble
from carvision.pipelines.train.step import train
from carvision.pipelines.tune.step import tune
from carvision.store.member_versions import MemberVersion
from carvision.workspace import STUDY_STORAGE
from tests.conftest import write_photos

_NAME, _ENSEMBLE = "carvision-efficientnet_lite0", "carvision-ensemble"
_SETTINGS = "data.folds=2 data.cache=off model.image_size=32 train.epochs=1 train.batch_size=8"


def _config(extra: str = "") -> Config:
    text = f"{_SETTINGS} precision=fp32 loader.workers=0 {extra}"
    return load_config("efficientnet_lite0", overrides=text, device="cpu")


def _train(data: Path, extra: str = "") -> MemberVersion:
    (version,) = train([_config(extra)], str(data), "all", "auto")
    return version


def _submit(data: Path | str, name: str = "s.csv") -> bytes:
    path = ensemble(_config(), str(data), test="", output=Path(name), tta_steps=5)
    return path.read_bytes()


def _aliases(name: str) -> dict[str, str]:
    aliases = MlflowClient().get_registered_model(name).aliases
    return {alias: str(version) for alias, version in aliases.items()}


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few photos, and no other test's."""
    return write_photos(tmp_path_factory.mktemp("cars"), per_class=3, test=2)


@pytest.fixture(scope="module")
def tuned(store: Path, cars: Path) -> MemberVersion:
    """The only member of the ensemble of ``cars``."""
    member = _train(cars)
    tune(_config(), str(cars), [], 3)
    return member


@pytest.fixture(scope="module")
def submitted(tuned: MemberVersion, cars: Path) -> bytes:
    return _submit(cars)


@pytest.fixture
def flipped(request: pytest.FixtureRequest, submitted: bytes, store: Path) -> Iterator[Path]:
    """A stored file with some bytes flipped, for a test's time."""
    path = next(store.glob(request.param))
    content = path.read_bytes()
    damaged = bytearray(content)
    for place in range(len(content) // 2, len(content) // 2 + min(40, len(content) // 4)):
        damaged[place] ^= 1
    path.write_bytes(damaged)
    yield path
    path.write_bytes(content)


_MODELS = "mlruns/*/models/*/artifacts/artifacts"


@pytest.mark.parametrize(
    ("flipped", "error"),
    [
        (f"{_MODELS}/bundle/fold1.safetensors", WeightsError),
        (f"{_MODELS}/bundle/fold2.safetensors", WeightsError),
        (f"{_MODELS}/bundle/model.json", WeightsError),
        (f"{_MODELS}/ensemble.json", TrackingError),
    ],
    indirect=["flipped"],
)
def test_a_changed_file_of_a_version_is_named(
    flipped: Path, error: type[CarvisionError], cars: Path
) -> None:
    name = _ENSEMBLE if flipped.name == "ensemble.json" else _NAME
    with pytest.raises(error, match=rf"{name} version 1\b[^/]*{flipped.name} is not the file"):
        _submit(cars, "flipped.csv")
    assert not Path("flipped.csv").exists()
    for uri in {f"models:/{_ENSEMBLE}/1", f"models:/{name}/1"}:
        with pytest.raises((error, WeightsError), match=f"{flipped.name} is not the file"):
            mlflow.pyfunc.load_model(uri)


def test_what_is_sound_again_is_used_again(submitted: bytes, cars: Path) -> None:
    assert _submit(cars) == submitted


@pytest.mark.parametrize(
    "flipped",
    [
        "mlruns/*/*/artifacts/predictions/log_probabilities.npy",
        "mlruns/*/*/artifacts/predictions/index.parquet",
        "mlruns/*/*/artifacts/predictions/views.json",
        "mlruns/*/*/artifacts/manifest/classes.json",
        "mlruns/*/*/artifacts/manifest/manifest.parquet",
    ],
    indirect=True,
)
def test_a_changed_artifact_is_not_tuned_with(flipped: Path, cars: Path) -> None:
    with pytest.raises(CarvisionError, match=rf"run \w+.*{flipped.name} is not the file"):
        tune(_config(), "latest", [], 3)


def test_a_forged_study_does_not_win(submitted: bytes, cars: Path) -> None:
    before = tune(_config(), "latest", ["efficientnet_lite0"], 3)
    (name,) = (n for n in optuna.get_all_study_names(STUDY_STORAGE) if n.startswith("study-"))
    study = optuna.load_study(study_name=name, storage=STUDY_STORAGE)
    for value in (-5.0, float("-inf")):
        trial = optuna.trial.create_trial(
            params=study.trials[0].params | {"shrinkage": 1.0},
            distributions=study.trials[0].distributions,
            value=value,
        )
        study.add_trial(trial)
    assert tune(_config(), "latest", ["efficientnet_lite0"], 3) == before


def test_training_other_data_dethrones_nobody(
    submitted: bytes, cars: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = write_photos(tmp_path / "other", per_class=3, test=2, seed=9)
    with caplog.at_level(logging.INFO, "carvision"):
        member = _train(other)
        # Not tuned yet: the only ensemble is of the same classes.
        _submit(other, "other.csv")
        assert f"no ensemble was tuned on this data ({member.data}): using" in caplog.text
        tune(_config(), str(other), [], 3)
    for name in (_NAME, _ENSEMBLE):
        assert _aliases(name)["champion"] == "1"
        assert _aliases(name)[f"champion-{member.data}"] == "2"
        assert f"{name} version 2 is the champion of its data; the alias champion stays" in (
            caplog.text
        )
    caplog.clear()
    assert _submit(cars) == submitted
    with caplog.at_level(logging.INFO, "carvision"):
        for data in (str(other), "latest"):
            _submit(data, "other.csv")
            assert f"{_ENSEMBLE} version 2, the champion, tuned on {member.data}" in caplog.text
            caplog.clear()
    # As soon as somebody says so, and as of the same data.
    MlflowClient().set_registered_model_alias(_ENSEMBLE, "champion", "2")
    assert _submit(cars) == submitted
    MlflowClient().set_registered_model_alias(_ENSEMBLE, "champion", "1")


def test_an_ensemble_of_others_is_no_champion(
    submitted: bytes, tuned: MemberVersion, cars: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Registered by hand, from the model of a backbone: it holds no ensemble.json."""
    client = MlflowClient()
    source = client.get_model_version(_NAME, "1")
    strange = client.create_model_version(_ENSEMBLE, source.source, source.run_id)
    client.set_registered_model_alias(_ENSEMBLE, "champion", strange.version)
    what = rf"{_ENSEMBLE} version {strange.version}, which has the alias champion, cannot be used"
    # The data has its own.
    with caplog.at_level(logging.INFO, "carvision"):
        assert _submit(cars) == submitted
    assert re.search(what, caplog.text)
    client.delete_registered_model_alias(_ENSEMBLE, f"champion-{tuned.data}")
    others = {name: number for name, number in _aliases(_ENSEMBLE).items() if name != "champion"}
    for alias in others:
        client.delete_registered_model_alias(_ENSEMBLE, alias)
    with pytest.raises(TrackingError, match=what + r"[^$]*set_registered_model_alias[^$]*-e tune"):
        _submit(cars, "none.csv")
    spec = tune(_config(), str(cars), [], 3)
    assert spec.score is not None
    newest = _aliases(_ENSEMBLE)
    assert newest["champion"] == newest[f"champion-{tuned.data}"] != strange.version
    assert _submit(cars) == submitted


def test_a_member_that_was_registered_again_is_another_one(
    submitted: bytes, tuned: MemberVersion, cars: Path, caplog: pytest.LogCaptureFixture
) -> None:
    MlflowClient().delete_registered_model(_NAME)
    with pytest.raises(TrackingError, match=f"no {_NAME} version 1, which the ensemble pins"):
        _submit(cars, "again.csv")
    # The same folds again are the same member.
    assert _train(cars).fold_runs == tuned.fold_runs
    assert _submit(cars) == submitted
    MlflowClient().delete_registered_model(_NAME)
    again = _train(cars, "optimizer.lr=0.02")
    assert (again.version, again.data) == (1, tuned.data)
    what = f"{_NAME} version 1 is not the one that the ensemble pins: pinned was the fold set"
    with pytest.raises(TrackingError, match=what + f" {tuned.fold_set}.*{again.fold_set}.*-e tune"):
        _submit(cars, "again.csv")
    assert not Path("again.csv").exists()
    with pytest.raises(TrackingError, match=what):
        mlflow.pyfunc.load_model(f"models:/{_ENSEMBLE}@champion")
    with caplog.at_level(logging.INFO, "carvision"):
        tune(_config(), str(cars), [], 3)
    assert "the champion so far, cannot be used" in caplog.text
    assert _submit(cars) != submitted
