"""The folder of a registered backbone, from which every fold's model is rebuilt without the hub.

It holds ``model.json`` (classes, preprocessing, resolved configuration, folds) and, for each fold,
``fold<k>.safetensors``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors.torch import load_file
from torch import nn

from carvision.config import Config, restored_config
from carvision.contracts import ClassMap
from carvision.errors import CarvisionError, WeightsError
from carvision.files import link_or_copy, read_json, replacing_folder, write_json
from carvision.models.backbone import Preprocessing, build_network, preprocessing_of

_DESCRIPTION: Final = "model.json"
#: The most bytes of a description, and the most folds: a thousand times what is normal.
_LARGEST: Final = 64 * 2**20
_MOST_FOLDS: Final = 1000
#: The errors that reading a description that somebody else wrote may raise.
_NO_DESCRIPTION: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    CarvisionError,
)


@dataclass(frozen=True)
class Bundle:
    """A registered backbone: its description, and its folds' weights in ``folder``."""

    folder: Path
    config: Config
    classes: ClassMap
    preprocessing: Preprocessing
    folds: tuple[int, ...]

    def load_fold(self, fold: int) -> nn.Module:
        """Rebuild the model of ``fold``, on the CPU, in evaluation mode.

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
    """Write a bundle; ``weights`` has a safetensors file for each fold, linked where possible."""
    with replacing_folder(folder) as temporary:
        for fold, path in weights.items():
            link_or_copy(path, temporary / _fold_file(fold))
        write_json(
            temporary / _DESCRIPTION,
            {
                "config": config.model_dump(mode="json"),
                "classes": classes.to_json(),
                "preprocessing": preprocessing_of(config).to_json(),
                "folds": sorted(weights),
            },
        )


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle's description; :meth:`Bundle.load_fold` reads the weights.

    A bundle may come from a registry that others write to: of its configuration only the precision
    and what builds the network are used, and no file or package that it names is read.

    Raises:
        WeightsError: the folder is not a bundle.
    """
    try:
        path = folder / _DESCRIPTION
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"{_DESCRIPTION} has more than {_LARGEST:,} bytes")
        content = read_json(path)
        return Bundle(
            folder=folder,
            config=restored_config(content["config"]),
            classes=ClassMap.from_json(content["classes"]),
            preprocessing=Preprocessing.from_json(content["preprocessing"]),
            folds=_fold_numbers(content["folds"]),
        )
    except _NO_DESCRIPTION as error:
        raise WeightsError(f"{folder} holds no model of carvision: {error}") from error


def _fold_numbers(stored: object) -> tuple[int, ...]:
    if not isinstance(stored, list) or not stored:
        raise ValueError("folds is no list of numbers")
    # Each becomes a part of a file's name.
    wrong = [fold for fold in stored if type(fold) is not int or not 1 <= fold <= _MOST_FOLDS]
    if wrong or len(set(stored)) < len(stored):
        raise ValueError(f"folds are {str(stored)[:100]}")
    return tuple(stored)


def _fold_file(fold: int) -> str:
    return f"fold{fold}.safetensors"
