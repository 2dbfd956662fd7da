"""One fold, really trained: its best epoch, its predictions, and that it can be repeated."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from carvision.contracts import VIEWS
from carvision.errors import CarvisionError, DataError, DivergedError
from carvision.inference import ComputeSettings, PhotosToPredict, predict_views
from carvision.library_settings import set_up_libraries
from carvision.metrics import validation_metrics
from carvision.models import build_model, preprocessing_of
from carvision.training import learner, newest_checkpoint, train_fold, trainer
from carvision.training.validation import Validation
from tests.training.conftest import PER_CLASS, Data, Recorder, Run, job_in, tiny

Train = Callable[..., Run]


def test_the_best_epoch_is_the_one_of_lowest_validation_loss(trained: Run) -> None:
    reported = dict(trained.recorder.epochs)
    assert list(reported) == [1, 2, 3]
    losses = {epoch: metrics["val/log_loss"] for epoch, metrics in reported.items()}
    best = trained.result.best_epoch
    assert losses[best] == min(losses.values())
    for name, value in trained.result.metrics.items():
        assert value == reported[best][name]


def test_each_epoch_ends_with_a_checkpoint_that_goes_on_in_the_next_one(trained: Run) -> None:
    folder = trained.result.weights.parent
    kept = sorted(path.name for path in folder.glob("step*.pt"))
    assert kept == ["step00000006.pt", "step00000009.pt"]
    path, state = newest_checkpoint(folder)
    assert (path.name, state["train_state"]["epoch"]) == (kept[1], 4)


def test_the_better_of_the_network_and_its_average_is_kept(trained: Run) -> None:
    for _, metrics in trained.recorder.epochs:
        both = [metrics["val/log_loss_raw"], metrics["val/log_loss_averaged"]]
        assert both[0] != both[1]
        assert metrics["val/log_loss"] == min(both)
    best = dict(trained.recorder.epochs)[trained.result.best_epoch]
    kind = "averaged" if trained.result.averaged else "raw"
    assert best[f"val/log_loss_{kind}"] == best["val/log_loss"]


def test_without_an_average_the_network_is_kept(train: Train) -> None:
    run = train(tiny("train.ema_decay=null"))
    assert not run.result.averaged
    for _, metrics in run.recorder.epochs:
        assert "val/log_loss_averaged" not in metrics
        assert metrics["val/log_loss"] == metrics["val/log_loss_raw"]


def test_an_epoch_before_the_last_can_be_the_best(train: Train) -> None:
    """Its weights, and not the last ones, are kept and predict the other views."""
    # The learning rate of a first epoch's warm-up is bearable, the next one's is not.
    run = train(tiny("optimizer.lr=0.3 train.batch_size=4 schedule.warmup_epochs=1"))
    losses = [metrics["val/log_loss"] for _, metrics in run.recorder.epochs]
    best = int(np.argmin(losses)) + 1
    assert run.result.best_epoch == best
    assert best < 2, f"the test needs a run that gets worse, got {losses}"
    _assert_weights_predict(run, VIEWS)


def test_every_step_is_reported(trained: Run) -> None:
    # 24 photos in batches of 8, three times.
    assert trained.recorder.planned == 9
    assert [step for step, _ in trained.recorder.steps] == list(range(1, 10))
    for epoch, metrics in trained.recorder.epochs:
        assert metrics["train/loss"] == trained.recorder.steps[3 * epoch - 1][1]
        assert metrics["images_per_second"] > 0
    rates = [metrics["lr"] for _, metrics in trained.recorder.epochs]
    assert rates[0] == pytest.approx(trained.config.optimizer.lr)
    assert rates[2] < rates[1] < rates[0]


def test_predictions_cover_the_folds_photos_in_every_view(trained: Run, data: Data) -> None:
    predictions = trained.result.predictions
    frame = data.manifest.frame
    expected = frame[frame["fold"] == 2].sort_values("image_id")
    assert len(expected) == PER_CLASS
    assert sorted(predictions.index["image_id"]) == expected["image_id"].tolist()
    known = expected.set_index("image_id").loc[predictions.index["image_id"]]
    assert predictions.index["class_index"].tolist() == known["class_index"].tolist()
    assert set(predictions.index["fold"]) == {2}
    assert predictions.views == VIEWS
    values = predictions.log_probabilities
    assert values.shape == (5, PER_CLASS, 3)
    assert values.dtype == np.float32
    np.testing.assert_allclose(np.exp(values.astype(np.float64)).sum(axis=2), 1, atol=1e-5)


def test_an_epoch_reads_its_validation_photos_once(trained: Run) -> None:
    """For the network and its average together; the other four views follow at the end."""
    ended = [done for done, total in trained.recorder.predicted if done == total]
    assert ended == [2 * PER_CLASS] * 3 + [4 * PER_CLASS]


def test_metrics_are_those_of_the_stored_original_view(trained: Run) -> None:
    predictions = trained.result.predictions
    targets = predictions.index["class_index"].to_numpy()
    again = validation_metrics(predictions.log_probabilities[0], targets)
    assert again == pytest.approx(trained.result.metrics)


def test_every_epochs_true_class_is_kept(trained: Run) -> None:
    found, predictions = trained.result.epochs_true_class, trained.result.predictions
    assert (found.shape, found.dtype) == ((3, PER_CLASS), np.float32)
    # Of the network, raw or averaged, whose score counted.
    losses = [metrics["val/log_loss"] for _, metrics in trained.recorder.epochs]
    np.testing.assert_allclose(-found.mean(axis=1), losses, rtol=1e-5)
    best = found[trained.result.best_epoch - 1]
    np.testing.assert_array_equal(best, predictions.true_class().log_probabilities[0])


def test_the_saved_weights_predict_what_was_stored(trained: Run) -> None:
    _assert_weights_predict(trained, VIEWS)


def test_a_second_run_is_bit_identical(train: Train) -> None:
    first, second = (train(tiny()) for _ in range(2))
    assert first.recorder.steps == second.recorder.steps
    assert first.result.metrics == second.result.metrics
    one, two = load_file(first.result.weights), load_file(second.result.weights)
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name
    np.testing.assert_array_equal(
        first.result.predictions.log_probabilities, second.result.predictions.log_probabilities
    )


@pytest.mark.parametrize(("option", "fold"), [("seed=1", 1), ("seed=0", 2)])
def test_another_seed_or_fold_trains_otherwise(train: Train, option: str, fold: int) -> None:
    first = train(tiny("train.max_steps=1"))
    other = train(tiny(f"train.max_steps=1 {option}"), fold=fold)
    assert first.recorder.steps != other.recorder.steps


@pytest.mark.parametrize(
    ("overrides", "steps", "validated"),
    [
        ("train.max_steps=1 train.batch_size=4", 1, 4),
        ("train.max_steps=2 train.batch_size=4", 2, 8),
        ("train.max_steps=1 train.batch_size=16", 1, PER_CLASS),
        ("train.max_steps=4 train.batch_size=8", 4, PER_CLASS),
        ("train.max_steps=99 train.batch_size=8", 6, PER_CLASS),
    ],
)
def test_a_smoke_run_validates_no_more_than_it_trained_on(
    train: Train, data: Data, overrides: str, steps: int, validated: int
) -> None:
    run = train(tiny(overrides))
    assert run.recorder.planned == len(run.recorder.steps) == steps
    ids = run.result.predictions.index["image_id"]
    assert len(ids) == validated
    frame = data.manifest.frame
    assert set(ids) <= set(frame[frame["fold"] == 1]["image_id"])


@pytest.mark.parametrize("overrides", ["train.epochs=1", "train.max_steps=1 train.batch_size=4"])
def test_what_predicting_costs(
    train: Train, monkeypatch: pytest.MonkeyPatch, overrides: str
) -> None:
    predict = Validation.predict

    def slow(self, network, views):
        found = predict(self, network, views)
        time.sleep(0.002 * found.shape[0] * found.shape[1])
        return found

    monkeypatch.setattr(Validation, "predict", slow)
    measured = train(tiny(overrides)).result.measured
    # Two milliseconds more for each view of each photo.
    assert measured.keys() == {"predict/seconds_per_1000"}
    assert 2 < measured["predict/seconds_per_1000"] < 200


def test_a_loss_that_is_not_finite_names_epoch_and_step(train: Train) -> None:
    recorder = Recorder()
    config = tiny("optimizer.name=sgd optimizer.lr=1e30 train.grad_clip=null")
    with pytest.raises(CarvisionError) as caught:
        train(config, recorder=recorder)
    failed = len(recorder.steps) + 1
    epoch = (failed - 1) // 3 + 1
    for part in (f"epoch {epoch}, step {failed}", "fold 1", "efficientnet_lite0", "optimizer.lr"):
        assert part in str(caught.value)


def test_weights_ruined_by_the_last_step_are_no_result(train: Train) -> None:
    """No training loss shows it any more; the validation loss does."""
    text = "train.max_steps=1 optimizer.name=sgd optimizer.lr=1e30 train.grad_clip=null"
    with pytest.raises(DivergedError, match="epoch 1"):
        train(tiny(f"{text} schedule.warmup_epochs=0"))


@pytest.mark.parametrize(
    "overrides", ["loss.name=focal loss.label_smoothing=0.1", "optimizer.name=sgd optimizer.lr=0.1"]
)
def test_other_recipes_train(train: Train, overrides: str) -> None:
    run = train(tiny(f"{overrides} train.max_steps=2"))
    assert all(np.isfinite(loss) for _, loss in run.recorder.steps)


def test_backbones_of_different_precision_follow_each_other(train: Train) -> None:
    runs = [
        train(tiny(f"train.max_steps=1 precision={precision}", model=model))
        for model, precision in (
            ("efficientnet_lite0", "fp32"),
            ("efficientnet_lite1", "bf16"),
            ("efficientnet_lite0", "fp32"),
        )
    ]
    # What came between left no trace in the third run.
    assert runs[0].recorder.steps == runs[2].recorder.steps
    assert runs[0].result.metrics == runs[2].result.metrics
    for run in runs:
        _assert_weights_predict(run, VIEWS)
    assert {v.dtype for v in load_file(runs[1].result.weights).values()} == {
        torch.float32,
        torch.int64,
    }


def test_a_first_step_that_the_scaler_skips_gives_no_warning(
    train: Train, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """In fp16 the first steps may overflow; torch would warn of the order of two calls."""
    scaler = torch.amp.GradScaler("cpu", init_scale=3.4e38)
    monkeypatch.setattr(learner, "grad_scaler", lambda device, precision: scaler)
    set_up_libraries()  # as a command does; pytest begins each test with its own filters
    train(tiny("train.max_steps=2 optimizer.name=sgd"))
    assert scaler.get_scale() < 3.4e38, "the test needs a step that overflows"
    assert not [found for found in recwarn if "lr_scheduler" in str(found.message)]


@pytest.mark.parametrize("fold", [0, 4])
def test_a_fold_that_does_not_exist_is_refused(data: Data, tmp_path: Path, fold: int) -> None:
    with pytest.raises(DataError, match=f"fold {fold}"):
        train_fold(job_in(tmp_path, data, tiny(), fold), Recorder())


def _assert_weights_predict(run: Run, views: tuple[str, ...]) -> None:
    """The saved weights, in a fresh model, give the stored predictions again."""
    predictions = run.result.predictions
    classes = predictions.log_probabilities.shape[2]
    model = build_model(run.config, classes, pretrained=False)
    model.load_state_dict(load_file(run.result.weights))
    sources = [run.root / name for name in predictions.index["image_id"]]
    compute = ComputeSettings.of(run.config)
    found = predict_views(
        model, preprocessing_of(run.config), PhotosToPredict(sources), views, compute
    )
    np.testing.assert_allclose(found, predictions.log_probabilities, atol=1e-6)


def test_a_loss_that_explodes_names_its_photos(train: Train, data: Data) -> None:
    with pytest.raises(DivergedError, match=r"loss became .* in epoch") as caught:
        train(tiny("optimizer.lr=1.0e+6 train.grad_clip=null train.batch_size=4"))
    named = str(caught.value).partition("the batch held ")[2].split(", ")
    assert len(named) == 4
    assert set(named) <= set(data.manifest.split(1)[0]["image_id"])


def test_each_fold_counts_its_own_peak_of_memory(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(trainer, "reset_peak_memory", forgotten.append)
    train(tiny("train.max_steps=1"))
    assert forgotten == ["cpu"]


def test_early_stopping(train: Train) -> None:
    # A learning rate of nothing: only the average still moves towards the network.
    run = train(
        tiny("optimizer.lr=1.0e-12 train.ema_decay=null train.epochs=9 train.early_stopping=2")
    )
    epochs = len(run.recorder.epochs)
    assert 3 <= epochs < 9
    assert epochs - run.result.best_epoch == 2


@pytest.mark.parametrize(
    "overrides",
    [
        "loss.name=bi_tempered",
        "model.pool=gem",
        "mixing.mixup_alpha=0.2 mixing.cutmix_alpha=1.0",
        "model.grad_checkpointing=true",
        "train.accumulation=2 train.batch_size=4",
        "optimizer.layer_decay=0.8",
    ],
)
def test_every_setting_trains(train: Train, overrides: str) -> None:
    run = train(tiny(f"train.epochs=1 {overrides}"))
    assert run.recorder.steps[-1][1] < 5


def test_the_plans_recipe_trains_whole(train: Train) -> None:
    config = tiny("train.epochs=3 optimizer.lr=0.05", recipe="plan")
    assert (config.loss.name, config.model.pool) == ("focal", "gem")
    assert config.schedule.name == "cosine_restarts"
    run = train(config)
    assert run.result.metrics["val/log_loss"] < 1.5
