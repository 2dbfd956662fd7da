"""Predictions: views, folds and members, against photos that were really turned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax

from carvision.config import LoaderConfig
from carvision.contracts import VIEWS
from carvision.data.loading import inference_photos
from carvision.data.photo.decode import decode
from carvision.errors import CarvisionError, DataError
from carvision.inference import (
    ComputeSettings,
    PhotosToPredict,
    predict_member,
    predict_views,
    predict_views_of_each,
)
from carvision.models import Bundle

TURNED = {
    "hflip": [Image.Transpose.FLIP_LEFT_RIGHT],
    "vflip": [Image.Transpose.FLIP_TOP_BOTTOM],
    "hvflip": [Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM],
    # Pillow turns counter-clockwise, too.
    "rot90": [Image.Transpose.ROTATE_90],
}


def _compute(**values: object) -> ComputeSettings:
    loader = LoaderConfig(workers=values.pop("workers", 0))  # type: ignore[arg-type]
    given = {"device": "cpu", "precision": "fp32", "batch_size": 3, "loader": loader}
    return ComputeSettings(**(given | values))  # type: ignore[arg-type]


def _predict(
    bundle: Bundle,
    sources: list[Path] | list[bytes],
    views: tuple[str, ...] = VIEWS[:1],
    fold: int = 1,
    **options: object,
) -> np.ndarray:
    model = bundle.load_fold(fold)
    return predict_views(
        model, bundle.preprocessing, PhotosToPredict(sources), views, _compute(**options)
    )


def test_log_probabilities_of_every_view_and_photo(bundle: Bundle, sources: list[Path]) -> None:
    found = _predict(bundle, sources, VIEWS)
    assert found.shape == (5, 7, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found.astype(np.float64)).sum(axis=2), 1, atol=1e-5)
    # No two views, and no two photos, are the same to this model.
    flat = found.reshape(35, 3)
    distances = np.abs(flat[:, None] - flat[None]).max(axis=2) + np.eye(35)
    assert distances.min() > 1e-4


@pytest.mark.parametrize("view", TURNED)
def test_a_view_is_the_turned_photos_original(
    view: str, bundle: Bundle, sources: list[Path], tmp_path: Path
) -> None:
    turned = []
    for path in sources:
        with Image.open(path) as image:
            for step in TURNED[view]:
                image = image.transpose(step)
            image.save(tmp_path / path.name)
        turned.append(tmp_path / path.name)
    both = _predict(bundle, sources, ("original", view))
    np.testing.assert_allclose(both[1], _predict(bundle, turned)[0], atol=1e-5)
    assert np.abs(both[1] - both[0]).max() > 1e-3


def test_the_model_is_used_as_it_evaluates(bundle: Bundle, sources: list[Path]) -> None:
    model = bundle.load_fold(1).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = predict_views(
        model, bundle.preprocessing, PhotosToPredict(sources), VIEWS[:1], _compute()
    )
    assert not model.training
    np.testing.assert_array_equal(found, _predict(bundle, sources))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("batch_size", [1, 2, 7, 50])
def test_batches_do_not_matter(batch_size: int, bundle: Bundle, sources: list[Path]) -> None:
    found = _predict(bundle, sources, VIEWS, batch_size=batch_size)
    np.testing.assert_allclose(found, _predict(bundle, sources, VIEWS), atol=1e-5)


def test_worker_processes_do_not_matter(bundle: Bundle, sources: list[Path]) -> None:
    found = _predict(bundle, sources, batch_size=1, workers=1)
    np.testing.assert_allclose(found, _predict(bundle, sources), atol=1e-5)


def test_bytes_are_predicted_like_files(bundle: Bundle, sources: list[Path]) -> None:
    content = [path.read_bytes() for path in sources]
    np.testing.assert_array_equal(_predict(bundle, content), _predict(bundle, sources))


@pytest.mark.parametrize(("room", "said", "parts"), [(2, 1, [2, 2, 1, 2]), (1, 2, [1] * 7)])
def test_a_batch_that_does_not_fit_is_predicted_in_parts(
    bundle: Bundle,
    sources: list[Path],
    caplog: pytest.LogCaptureFixture,
    room: int,
    said: int,
    parts: list[int],
) -> None:
    model = bundle.load_fold(1)
    compute, seen = _compute(batch_size=5), []
    expected = predict_views(
        model, bundle.preprocessing, PhotosToPredict(sources), VIEWS, _compute()
    )
    forward, done = model.forward, []

    def limited(images: torch.Tensor) -> torch.Tensor:
        if len(images) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.append(len(images))
        return forward(images)

    model.forward = limited  # type: ignore[method-assign]
    photos = PhotosToPredict(sources)
    found = predict_views(model, bundle.preprocessing, photos, VIEWS, compute, seen.append)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert seen == [5 * 5, 2 * 5]
    # What had no room once is not tried again.
    assert len(caplog.messages) == said
    assert "out of memory while predicting 5 photos at a time: going on with 2" in caplog.text
    assert done == [part for part in parts for _ in VIEWS]


def test_a_photo_that_has_no_room_is_an_error(bundle: Bundle, sources: list[Path]) -> None:
    model = bundle.load_fold(1)

    def short(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    model.forward = short  # type: ignore[method-assign]
    with pytest.raises(CarvisionError, match="not even a single photo"):
        predict_views(model, bundle.preprocessing, PhotosToPredict(sources), VIEWS, _compute())


def test_several_models_are_predicted_from_one_reading(
    bundle: Bundle, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [_predict(bundle, sources, VIEWS[:2], fold) for fold in (1, 2)]
    read, seen = [], []
    decode = inference_photos.decode

    def counted(source: Path, *rest: object, **named: object) -> np.ndarray:
        read.append(source)
        return decode(source, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(inference_photos, "decode", counted)
    models = [bundle.load_fold(fold) for fold in (1, 2)]
    photos, views = PhotosToPredict(sources), VIEWS[:2]
    found = predict_views_of_each(
        models, bundle.preprocessing, photos, views, _compute(), seen.append
    )
    # The same bits as one by one.
    np.testing.assert_array_equal(found, expected)
    assert read == sources
    assert sum(seen) == 2 * 2 * len(sources)


def test_photos_are_squashed_as_the_backbone_wants(bundle: Bundle, sources: list[Path]) -> None:
    model, found = bundle.load_fold(1), {}
    for how in ("bicubic", "bilinear"):
        wanted = replace(bundle.preprocessing, image_size=40, interpolation=how)
        found[how] = predict_views(model, wanted, PhotosToPredict(sources), VIEWS[:1], _compute())
        pixels = np.stack([decode(path, 40, interpolation=how) for path in sources])
        with torch.inference_mode():
            logits = model(wanted.normalise(torch.from_numpy(pixels.transpose(0, 3, 1, 2))))
        np.testing.assert_allclose(found[how][0], logits.log_softmax(1), atol=1e-4)
    assert np.abs(found["bicubic"] - found["bilinear"]).max() > 1e-2


def test_bf16_is_close_to_fp32(bundle: Bundle, sources: list[Path]) -> None:
    found = _predict(bundle, sources, precision="bf16")
    exact = _predict(bundle, sources)
    assert found.dtype == np.float32
    assert 0 < np.abs(np.exp(found) - np.exp(exact)).max() < 0.1


@pytest.mark.parametrize("views", [VIEWS[:1], VIEWS[:3], VIEWS])
def test_progress_counts_images_times_views(
    views: tuple[str, ...], bundle: Bundle, sources: list[Path]
) -> None:
    seen: list[int] = []
    photos, model = PhotosToPredict(sources), bundle.load_fold(1)
    predict_views(model, bundle.preprocessing, photos, views, _compute(), seen.append)
    assert seen == [3 * len(views), 3 * len(views), 1 * len(views)]


def test_a_photo_that_cannot_be_read_is_named(
    bundle: Bundle, sources: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        _predict(bundle, [*sources, tmp_path / "broken.jpg"])


@pytest.mark.parametrize(
    "temperatures",
    [{"original": 1.0}, {"original": 0.5, "rot90": 3.0}, {"vflip": 2.0, "hflip": 0.7}],
)
def test_a_member_is_the_mean_of_its_tempered_folds(
    temperatures: dict[str, float], bundle: Bundle, sources: list[Path]
) -> None:
    expected = []
    for view, temperature in temperatures.items():
        folds = [_predict(bundle, sources, (view,), fold)[0] for fold in (1, 2)]
        tempered = [log_softmax(f.astype(np.float64) / temperature, axis=1) for f in folds]
        expected.append((np.exp(tempered[0]) + np.exp(tempered[1])) / 2)
    found = predict_member(bundle, PhotosToPredict(sources), temperatures, _compute())
    assert found.shape == (len(temperatures), 7, 3)
    np.testing.assert_allclose(found, np.array(expected), atol=1e-6)
    # The mean of log-probabilities, the likely mistake, is something else.
    assert np.abs(np.exp((tempered[0] + tempered[1]) / 2) - found[-1]).max() > 1e-4


def test_each_folds_own_predictions_are_handed_out(bundle: Bundle, sources: list[Path]) -> None:
    kept: dict[int, np.ndarray] = {}
    temperatures = {"original": 0.5, "hflip": 2.0}
    found = predict_member(
        bundle, PhotosToPredict(sources), temperatures, _compute(), kept.__setitem__
    )
    assert list(kept) == list(bundle.folds)
    alone = _predict(bundle, sources, ("original",), fold=2)[0].astype(np.float64)
    np.testing.assert_allclose(kept[2][0], log_softmax(alone / 0.5, axis=1), atol=1e-5)
    np.testing.assert_allclose(np.mean([np.exp(p) for p in kept.values()], axis=0), found)


@pytest.mark.parametrize("workers", [0, 1])
def test_photos_that_cannot_be_read_are_marked(
    workers: int, bundle: Bundle, sources: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(sources[0].read_bytes()[:200])
    # More than four batches, so that workers are started where they are wanted.
    given = [*sources, broken, *sources, tmp_path / "gone.png"]
    marks = torch.zeros(len(given), dtype=torch.bool).share_memory_()
    marks[2] = True
    model, compute = bundle.load_fold(1), _compute(workers=workers)
    found = predict_views(
        model, bundle.preprocessing, PhotosToPredict(given, marks), VIEWS[:1], compute
    )
    assert marks.nonzero().flatten().tolist() == [2, 7, 15]
    sound = np.flatnonzero(~marks.numpy())
    readable = [given[i] for i in sound]
    np.testing.assert_allclose(found[:, sound], _predict(bundle, readable), atol=1e-5)
    with pytest.raises(DataError, match=r"broken\.png"):
        _predict(bundle, given, workers=workers)
