"""Configuration: typed, frozen, resolved from YAML layers. ``load_config`` is the way in."""

from carvision.config.augmentation import AugmentationConfig
from carvision.config.load import (
    DEFAULT_MODEL,
    list_models,
    list_recipes,
    load_config,
    load_configs,
    restored_config,
    split_models,
)
from carvision.config.messages import nearest, nearest_name, setting_names
from carvision.config.parameters import (
    data_source,
    fold_numbers,
    number,
    output_path,
    path_text,
    stripped,
    whole_number,
)
from carvision.config.run_settings import LoaderConfig, RunSettings, SplitSettings
from carvision.config.schema import Config, LossConfig
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
    "data_source",
    "fold_numbers",
    "list_models",
    "list_recipes",
    "load_config",
    "load_configs",
    "nearest",
    "nearest_name",
    "number",
    "output_path",
    "path_text",
    "restored_config",
    "setting_names",
    "split_models",
    "stripped",
    "whole_number",
    "with_settings",
]
