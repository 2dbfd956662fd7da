"""Configuration: typed and frozen, resolved from layers of YAML.

:func:`load_config` gives a backbone's, :func:`load_run_settings` that of a step without training.
"""

from carvision.config.augmentation import AugmentationConfig
from carvision.config.load import load_config, load_configs, restored_config
from carvision.config.messages import nearest, nearest_name, setting_names
from carvision.config.parameters import (
    choice,
    data_source,
    fold_numbers,
    number,
    output_path,
    path_text,
    stripped,
    whole_number,
)
from carvision.config.presets import DEFAULT_MODEL, list_models, list_recipes, split_models
from carvision.config.run_settings import LoaderConfig, RunSettings, SplitSettings
from carvision.config.schema import Config, LossConfig
from carvision.config.step_settings import load_run_settings, step_setting_names
from carvision.config.variation import as_settings_file, with_settings

__all__ = [
    "DEFAULT_MODEL",
    "AugmentationConfig",
    "Config",
    "LoaderConfig",
    "LossConfig",
    "RunSettings",
    "SplitSettings",
    "as_settings_file",
    "choice",
    "data_source",
    "fold_numbers",
    "list_models",
    "list_recipes",
    "load_config",
    "load_configs",
    "load_run_settings",
    "nearest",
    "nearest_name",
    "number",
    "output_path",
    "path_text",
    "restored_config",
    "setting_names",
    "split_models",
    "step_setting_names",
    "stripped",
    "whole_number",
    "with_settings",
]
