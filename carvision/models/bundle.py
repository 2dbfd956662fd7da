"""What a registered backbone holds: a folder that rebuilds every fold's model without the hub.

``model.json`` (classes, preprocessing, resolved configuration, folds) and one
``fold<k>.safetensors`` a fold.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from carvision.config import Config, restored_config
from carvision.contracts import ClassMap
from carvision.errors import WeightsError
from carvision.files import read_json, replacing_folder, write_json
from carvision.models.backbone import Preprocessing, build_network, preprocessing_of


@dataclass(frozen=True)
class Bundle:
    """A backbone's folds on disk."""

    folder: Path
    config: Config
    classes: ClassMap
    preprocessing: Preprocessing
    folds: tuple[int, ...]

    def load_fold(self, fold: int) -> nn.Module:
        """The model of ``fold``, on the CPU, in evaluation mode.

        Raises:
            WeightsError: the fold's file is missing, damaged, or does not fit.
        """
        model = build_network(self.config.model, len(self.classes.names), pretrained=False)
        path = self.folder / _fold_file(fold)
        try:
            model.load_state_dict(load_file(path), strict=True)
        # safetensors' own error derives from Exception alone.
        except Exception as error:
            raise WeightsError(f"{path} does not fit {self.config.name}: {error}") from error
        return model.eval()


def write_bundle(
    folder: Path, config: Config, classes: ClassMap, weights: Mapping[int, Path]
) -> None:
    """Write a bundle of ``weights``, a safetensors file for each fold, which are moved into it."""
    with replacing_folder(folder) as temporary:
        for fold, path in weights.items():
            shutil.move(path, temporary / _fold_file(fold))
        write_json(
            temporary / "model.json",
            {
                "config": config.model_dump(mode="json"),
                "classes": classes.to_json(),
                "preprocessing": preprocessing_of(config).to_json(),
                "folds": sorted(weights),
            },
        )


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's description; weights are read fold by fold.

    Raises:
        WeightsError: it is not a bundle.
    """
    try:
        content = read_json(folder / "model.json")
        return Bundle(
            folder=folder,
            config=restored_config(content["config"]),
            classes=ClassMap.from_json(content["classes"]),
            preprocessing=Preprocessing.from_json(content["preprocessing"]),
            folds=tuple(content["folds"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder} holds no model of carvision: {error}") from error


def _fold_file(fold: int) -> str:
    return f"fold{fold}.safetensors"
