"""The search space of ``hpo``: a few settings, each in a range around its configured value.

The ranges are those that fine-tuning papers and competitors vary: wide enough to matter, narrow
enough that most points train. A setting that is switched off (no weight decay, no average, no
colour) stays off, because there is no value to search around.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from carvision.config import Config, with_settings

_LOSS = "loss.name"
_LOSSES = ("cross_entropy", "focal", "bi_tempered")
_COLOUR = "augmentation.colour"
_COLOURS = ("brightness", "contrast", "saturation")
_CROP = "augmentation.crop_scale"
#: The moving average remembers 1 / (1 - decay) steps, so 1 - decay is searched on a log scale.
_FORGETTING = "1 - train.ema_decay"

#: Values of the searched settings by their names in the study.
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Dimension:
    """A number that is searched from ``low`` to ``high``; ``start`` is the configured value.

    ``loss`` is the loss that the number is a parameter of; empty if it matters with every loss.
    """

    name: str
    start: float
    low: float
    high: float
    log: bool = False
    loss: str = ""

    def rounded(self, value: float) -> float:
        """Round to three digits, which people can read; ``start`` stays as it is."""
        return value if value == self.start else min(max(_short(value), self.low), self.high)


def search_space(config: Config) -> tuple[Dimension, ...]:
    """The numbers that are searched; the choice of the loss is searched beside them."""
    optimizer, augmentation, loss = config.optimizer, config.augmentation, config.loss
    smallest, largest = augmentation.crop_scale
    found = [
        _around("optimizer.lr", optimizer.lr, 4, least=config.schedule.eta_min),
        _around("optimizer.head_lr_factor", optimizer.head_lr_factor, 3),
        _within("optimizer.layer_decay", optimizer.layer_decay, 0.7, 1.0),
        # How strong the augmentation is.
        _within(_CROP, smallest, 0.2, min(0.8, largest)),
        _within("augmentation.darken.p", augmentation.darken.p, 0.0, 0.5),
        # The ranges of the losses' own papers.
        _within("loss.label_smoothing", loss.label_smoothing, 0.0, 0.2),
        _within("loss.focal_gamma", loss.focal_gamma, 0.5, 3.0, loss="focal"),
        _within("loss.t1", loss.t1, 0.6, 1.0, loss="bi_tempered"),
        _within("loss.t2", loss.t2, 1.0, 1.6, loss="bi_tempered"),
    ]
    if optimizer.weight_decay > 0:
        found.append(_around("optimizer.weight_decay", optimizer.weight_decay, 10))
    if any(getattr(augmentation, name) for name in _COLOURS):
        # One factor for all three.
        found.append(_within(_COLOUR, 1.0, 0.0, 2.0))
    if config.train.ema_decay is not None:
        found.append(_around(_FORGETTING, 1 - config.train.ema_decay, 5, most=0.5))
    if config.mixing.p > 0 and config.train.pairs_photos:
        found.append(_within("mixing.mixup_alpha", config.mixing.mixup_alpha, 0.0, 0.4))
    return tuple(found)


def starting_values(config: Config) -> dict[str, Any]:
    """The configuration's own values in its search space."""
    numbers = {
        dimension.name: dimension.start
        for dimension in search_space(config)
        if dimension.loss in ("", config.loss.name)
    }
    return {_LOSS: config.loss.name, **numbers}


def suggest(trial: optuna.Trial, config: Config) -> None:
    """Draw a value for every setting that matters with the drawn loss, into ``trial.params``."""
    loss = trial.suggest_categorical(_LOSS, _LOSSES)
    for dimension in search_space(config):
        if dimension.loss in ("", loss):
            trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)


def distributions(config: Config) -> dict[str, BaseDistribution]:
    """The distribution of each value."""
    numbers = {
        dimension.name: FloatDistribution(dimension.low, dimension.high, log=dimension.log)
        for dimension in search_space(config)
    }
    return {_LOSS: CategoricalDistribution(_LOSSES), **numbers}


def is_of_space(config: Config, values: Values) -> bool:
    """Whether these are all the values that a finished trial has."""
    names = {_LOSS} | {
        dimension.name
        for dimension in search_space(config)
        if dimension.loss in ("", values.get(_LOSS))
    }
    return values.keys() == names and are_within(config, values)


def are_within(config: Config, values: Values) -> bool:
    """Whether the study can draw each of these values; some may be missing."""
    space = {dimension.name: dimension for dimension in search_space(config)}
    return all(
        value in _LOSSES
        if name == _LOSS
        else name in space
        and isinstance(value, int | float)
        and space[name].low <= value <= space[name].high
        for name, value in values.items()
    )


def configured(config: Config, values: Values) -> Config:
    """``config`` with the values of a trial."""
    numbers = {
        dimension.name: dimension.rounded(values[dimension.name])
        for dimension in search_space(config)
        if dimension.name in values
    }
    settings: dict[str, Any] = {_LOSS: values[_LOSS], **numbers}
    settings[_CROP] = (settings[_CROP], config.augmentation.crop_scale[1])
    if _FORGETTING in settings:
        settings["train.ema_decay"] = _without_noise(1 - settings.pop(_FORGETTING))
    if _COLOUR in settings:
        factor = settings.pop(_COLOUR)
        for name in _COLOURS:
            strength = getattr(config.augmentation, name)
            new = strength if factor == 1 else min(1.0, _short(strength * factor))
            settings[f"augmentation.{name}"] = new
    return with_settings(config, settings)


def smallest_crop(config: Config) -> Config:
    """The configuration of the trial whose photo cache is the largest."""
    (crop,) = (dimension for dimension in search_space(config) if dimension.name == _CROP)
    return configured(config, starting_values(config) | {_CROP: crop.low})


def _within(name: str, start: float, low: float, high: float, loss: str = "") -> Dimension:
    return Dimension(name, start, min(low, start), max(high, start), loss=loss)


def _around(
    name: str, start: float, times: float, *, least: float = 0.0, most: float = float("inf")
) -> Dimension:
    """From ``start / times`` to ``start * times`` on a log scale, within ``least`` and ``most``."""
    high = max(start, min(start * times, most))
    return Dimension(name, start, max(start / times, least), high, log=True)


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _without_noise(value: float) -> float:
    """Round the binary error of a difference away: 1 - 0.0077 is 0.9923."""
    return round(value, 12)
