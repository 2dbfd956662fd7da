"""The search space: around the configuration, which is one of its points."""

from pathlib import Path

import optuna
import pytest
import yaml

from carvision.config import as_settings_file, list_models, load_config, with_settings
from carvision.data.loading.loader import loader_settings
from carvision.training.hyperparameter_space import (
    configured,
    search_space,
    smallest_crop,
    starting_values,
    suggest,
)


@pytest.mark.parametrize("recipe", ["finetune", "plan"])
@pytest.mark.parametrize("model", list_models())
def test_the_configuration_is_a_point_of_its_space(model: str, recipe: str) -> None:
    config = load_config(model, recipe=recipe)
    for dimension in search_space(config):
        assert dimension.low <= dimension.start <= dimension.high
    assert configured(config, starting_values(config)) == config


@pytest.mark.parametrize(
    "overrides",
    [
        "optimizer.weight_decay=0 train.ema_decay=null mixing.p=0",
        "augmentation.brightness=0 augmentation.contrast=0 augmentation.saturation=0",
        "augmentation.crop_scale=[0.1,0.15] augmentation.darken.p=0.9",
        "optimizer.layer_decay=0.3 train.ema_decay=0.3 loss.label_smoothing=0.5",
        "schedule.eta_min=1e-3 optimizer.lr=0.0012345",
        "loss.name=bi_tempered loss.t1=0.1 loss.t2=3 augmentation.brightness=0.9",
        "train.batch_size=7",
    ],
)
def test_every_point_is_a_configuration(overrides: str) -> None:
    config = load_config(overrides=overrides)
    assert configured(config, starting_values(config)) == config
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(30):
        trial = study.ask()
        suggest(trial, config)
        other = configured(config, trial.params)  # refused by the schema if it does not fit
        assert other.loss.name == trial.params["loss.name"]
        assert other.augmentation.crop_scale[1] == config.augmentation.crop_scale[1]
        study.tell(trial, 0.0)
    corners = [dict(starting_values(config)), dict(starting_values(config))]
    for dimension in search_space(config):
        for corner, end in zip(corners, (dimension.low, dimension.high), strict=True):
            corner[dimension.name] = end
    for corner in corners:
        configured(config, corner)


def test_what_is_off_stays_off() -> None:
    off = "optimizer.weight_decay=0 train.ema_decay=null mixing.p=0"
    colours = "augmentation.brightness=0 augmentation.contrast=0 augmentation.saturation=0"
    whole = {dimension.name for dimension in search_space(load_config())}
    left = {dimension.name for dimension in search_space(load_config(overrides=f"{off} {colours}"))}
    assert whole - left == {
        "optimizer.weight_decay",
        "1 - train.ema_decay",
        "mixing.mixup_alpha",
        "augmentation.colour",
    }


def test_values_mean_what_they_are_called() -> None:
    config = load_config(overrides="augmentation.saturation=0.6")
    values = starting_values(config) | {
        "optimizer.lr": 0.00123456,
        "augmentation.crop_scale": 0.5,
        "augmentation.colour": 2.0,
        "1 - train.ema_decay": 0.02,
        "loss.name": "focal",
        "loss.focal_gamma": 1.0,
    }
    found = configured(config, values)
    assert found.optimizer.lr == 0.00123
    assert found.augmentation.crop_scale == (0.5, 1.0)
    assert (found.augmentation.brightness, found.augmentation.saturation) == (0.6, 1.0)
    assert found.train.ema_decay == 0.98
    assert (found.loss.name, found.loss.focal_gamma) == ("focal", 1.0)
    assert found.optimizer.weight_decay == config.optimizer.weight_decay


def test_the_loss_decides_which_of_its_parameters_are_searched() -> None:
    config = load_config()
    own = {"loss.focal_gamma": "focal", "loss.t1": "bi_tempered", "loss.t2": "bi_tempered"}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for loss in ("cross_entropy", "focal", "bi_tempered"):
        study.enqueue_trial({"loss.name": loss})
        trial = study.ask()
        suggest(trial, config)
        found = {name: own[name] for name in trial.params if name in own}
        assert found == {name: of for name, of in own.items() if of == loss}
        seen.add(loss)
    assert len(seen) == 3


def test_the_smallest_crop_needs_the_largest_cache() -> None:
    config = load_config()
    crops = [
        configured(config, starting_values(config) | {"augmentation.crop_scale": scale})
        for scale in (0.2, 0.35, 0.8)
    ]
    assert smallest_crop(config).cache_side == max(crop.cache_side or 0 for crop in crops)


#: Every setting that is a number or a word (or nothing), and a value of each of its kinds.
_ALTERNATIVES = [
    *(f"train.batch_size={value}" for value in ("auto", 7, 8)),
    *(f"data.cache={value}" for value in ("auto", "off", 128, 1024)),
    *(f"data.folds={value}" for value in ("null", 3)),
    *(f"data.split_seed={value}" for value in ("null", 3)),
    *(f"data.same_classes={value}" for value in ("null", "hai", "[[NO,001]]")),
    *(f"model.weights={value}" for value in ("null", "w.pth")),
    *(f"model.starter={value}" for value in ("null", "package")),
    *(f"train.max_steps={value}" for value in ("null", 3)),
    *(f"train.image_size={value}" for value in ("null", 64)),
    *(f"train.grad_clip={value}" for value in ("null", 1)),
    *(f"train.ema_decay={value}" for value in ("null", 0.5, 0.9999999)),
    *(f"train.early_stopping={value}" for value in ("null", 2)),
    *(f"loader.workers={value}" for value in ("null", 0, 3)),
    *(f"loader.pin_memory={value}" for value in ("null", "true", "false")),
    *(f"loader.persistent_workers={value}" for value in ("null", "true", "false")),
    *(f"loader.start_method={value}" for value in ("null", "spawn")),
    *(f"loader.prefetch={value}" for value in ("null", 4)),
    *(f"tracking.wandb={value}" for value in ("off", "offline")),
]


@pytest.mark.parametrize("recipe", ["finetune", "plan"])
@pytest.mark.parametrize("setting", _ALTERNATIVES)
def test_a_setting_may_be_a_number_or_a_word(setting: str, recipe: str, tmp_path: Path) -> None:
    config = load_config(recipe=recipe, overrides=setting)
    assert configured(config, starting_values(config)) == config
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(3):
        trial = study.ask()
        suggest(trial, config)
        configured(config, trial.params).result_settings()
        study.tell(trial, 0.0)
    assert smallest_crop(config).cache_side in (None, *range(32, 4097))
    assert with_settings(config, {"seed": config.seed}) == config
    path = tmp_path / "found.yaml"
    path.write_text(yaml.safe_dump(as_settings_file(config)), encoding="utf-8")
    again = load_config(config=str(path))
    assert (again.data, again.train, again.model) == (config.data, config.train, config.model)
    assert loader_settings(config.loader, "cpu")["num_workers"] >= 0


def test_a_batch_of_any_size_is_mixed_where_it_divides_into_pairs() -> None:
    for size, mixed in {"auto": True, 8: True, 7: False}.items():
        config = load_config(overrides=f"train.batch_size={size}")
        names = {dimension.name for dimension in search_space(config)}
        assert ("mixing.mixup_alpha" in names) is mixed
