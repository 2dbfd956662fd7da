"""The settings of steps that train nothing: which they use, pass over, and refuse."""

import logging
from pathlib import Path
from typing import Any

import pytest

from carvision.config import load_config, load_run_settings
from carvision.config.presets import base_settings
from carvision.config.run_settings import RunSettings
from carvision.errors import ConfigError

_MINE = "train: {epochs: 3}\nrecipe: plan\ninference: {batch_size: 7}\nseed: 4\ndata: {folds: 3}"


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A user's file for all steps; what ``config=`` takes."""
    path = tmp_path / "my.yaml"
    path.write_text(_MINE)
    return str(path)


@pytest.mark.parametrize("step", ["prepare", "tune", "ensemble"])
def test_without_a_users_settings_it_is_the_base(step: str) -> None:
    base = {key: base_settings()[key] for key in RunSettings.model_fields}
    assert load_run_settings(step) == RunSettings.model_validate(base)


def test_a_backbones_configuration_holds_the_same_settings() -> None:
    own = load_run_settings("ensemble").model_dump()
    values = load_config("swin_large").model_dump()
    assert isinstance(load_config(), RunSettings)
    assert {key: values[key] for key in own} == own


@pytest.mark.parametrize(
    ("step", "expected", "passed_over"),
    [
        ("prepare", (3, 32, 0), "train.epochs, recipe, inference.batch_size, seed"),
        ("tune", (3, 32, 4), "train.epochs, recipe, inference.batch_size"),
        ("ensemble", (3, 7, 4), "train.epochs, recipe"),
    ],
)
def test_one_file_for_all_steps(
    mine: str,
    caplog: pytest.LogCaptureFixture,
    step: str,
    expected: tuple[int, int, int],
    passed_over: str,
) -> None:
    caplog.set_level(logging.INFO, "carvision")
    found = load_run_settings(step, config=mine)
    assert (found.data.folds, found.inference.batch_size, found.seed) == expected
    line = f"{step} does not use these settings of your file: {passed_over}"
    assert caplog.messages == [line]


def test_order_of_the_layers(mine: str) -> None:
    found = load_run_settings("ensemble", config=mine, overrides="seed=5 data.folds=2")
    assert (found.seed, found.data.folds, found.inference.batch_size) == (5, 2, 7)
    assert load_run_settings("tune", config=mine, overrides="seed=5", seed=" 6 ").seed == 6
    assert load_run_settings("tune", config=mine, seed="").seed == 4


def test_many_settings_that_are_passed_over_stay_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "carvision")
    path = tmp_path / "my.yaml"
    names = list(load_config().augmentation.model_dump())
    path.write_text("augmentation: {" + ", ".join(f"{name}: 0" for name in names) + "}")
    load_run_settings("tune", config=str(path))
    (line,) = caplog.messages
    assert line.endswith(f" and {len(names) - 10} more")


@pytest.mark.parametrize(
    ("step", "overrides", "told"),
    [
        ("prepare", "train.epochs=3", "prepare does not use train.epochs; train, hpo and main do"),
        ("prepare", "seed=3", "does not use seed; tune, ensemble, train, hpo and main do"),
        ("prepare", "data.cache=off", "does not use data.cache; train, hpo and main do"),
        ("tune", "device=cpu", "does not use device; ensemble, train, hpo and main do"),
        ("tune", "recipe=plan", "does not use recipe; train, hpo and main do"),
        ("ensemble", "tracking.wandb=off", "does not use tracking.wandb; train, hpo and main do"),
        ("ensemble", "train=3", "does not use train; train, hpo and main do"),
    ],
)
def test_a_setting_of_another_step(step: str, overrides: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_run_settings(step, overrides=overrides)
    assert str(error.value).startswith(f"set='{overrides}': ")
    assert str(error.value).endswith(told)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("inference.batch=3", ["unknown key 'inference.batch'", "'inference.batch_size'"]),
        ("train.epoch=3", ["unknown key 'train.epoch'", "'train.epochs'"]),
        ("batch_size=3 foo=1", ["unknown key 'batch_size'", "unknown key 'foo'"]),
        ("inference.batch_size=0", ["inference.batch_size", "greater than or equal to 1", "got 0"]),
        ("inference={batch_size: 0}", ["inference.batch_size", "got 0"]),
        ("loader=3", ["loader", "dictionary", "got 3"]),
        ("data.folds=1 precision=fp64", ["data.folds", "precision", "'fp64'"]),
        ("data.same_classes=hay", ["unknown set of classes 'hay'", "'hai'"]),
        ("data.same_classes=[[a]]", ["same_classes", "at least two"]),
        ("seed", ["key=value", "'seed'"]),
    ],
)
def test_what_cannot_be_read(overrides: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_run_settings("ensemble", overrides=overrides)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: {epoch: 1}", r"unknown key 'train\.epoch' \(did you mean 'train\.epochs'"),
        ("1: 2", "unknown key '1'"),
        ("data: 3", "data: .*dictionary"),
        ("{" + ", ".join(f"k{i}: 1" for i in range(500)) + "}", "and 490 more"),
    ],
)
def test_a_file_that_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told) as error:
        load_run_settings("tune", config=str(path))
    assert len(str(error.value)) < 1_000


def test_the_name_of_a_set_of_classes() -> None:
    groups = load_run_settings("prepare", overrides="data.same_classes=hai").data.same_classes
    expected: Any = load_config(overrides="data.same_classes=hai").data.same_classes
    assert groups == expected
