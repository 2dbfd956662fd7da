"""A configuration with other values, and as the file that gives it again."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from carvision.config import as_settings_file, list_models, load_config, with_settings


def test_other_values_and_the_rest_as_it_was() -> None:
    config = load_config()
    other = with_settings(config, {"optimizer.lr": 0.5, "augmentation.darken.p": 0.25, "seed": 3})
    assert (other.optimizer.lr, other.augmentation.darken.p, other.seed) == (0.5, 0.25, 3)
    back = {"optimizer.lr": config.optimizer.lr, "augmentation.darken.p": 0.0, "seed": 0}
    assert with_settings(other, back) == config


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError):
        with_settings(load_config(), {"optimizer.lr": -1.0})
    with pytest.raises(ValidationError):
        with_settings(load_config(), {"optimizer.rate": 1.0})


@pytest.mark.parametrize("recipe", ["finetune", "plan"])
@pytest.mark.parametrize("model", list_models())
def test_a_preset_differs_from_itself_in_nothing(model: str, recipe: str) -> None:
    assert as_settings_file(load_config(model, recipe=recipe)) == {"recipe": recipe}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("optimizer.lr=2e-5", {"optimizer": {"lr": 2e-5}}),
        (
            "train.ema_decay=null data.cache=off",
            {"train": {"ema_decay": None}, "data": {"cache": False}},
        ),
        ("augmentation.crop_scale=[0.5,1.0]", {"augmentation": {"crop_scale": [0.5, 1.0]}}),
        ("data.same_classes=[[a,b]]", {"data": {"same_classes": [["a", "b"]]}}),
        ("device=cpu loader.workers=2 tracking.wandb=offline", {}),
    ],
)
def test_the_file_gives_the_configuration_again(
    overrides: str, expected: dict[str, object], tmp_path: Path
) -> None:
    config = load_config(recipe="plan", overrides=overrides)
    settings = as_settings_file(config)
    assert settings == {"recipe": "plan"} | expected
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    again = load_config(config=str(path))
    assert again.result_settings() == config.result_settings()
    assert again.data == config.data
