"""What a registered backbone holds: a folder that rebuilds every fold's model without the hub.

``model.json`` (classes, preprocessing, resolved configuration, folds) and one
``fold<k>.safetensors`` a fold.
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
#: Bytes of a description, and folds: a thousand times what the competition takes.
_LARGEST: Final = 64 * 2**20
_MOST_FOLDS: Final = 1000
#: What reading a description that somebody else wrote may run into.
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
    """Write a bundle of ``weights``, a safetensors file for each fold, without copying them."""
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
    """Read a bundle's description; weights are read fold by fold.

    It may come from a registry to which others write: of its configuration only the precision
    and what builds the network are used, no file and no package that it names.

    Raises:
        WeightsError: it is not a bundle.
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
    # A file's name is made of each.
    wrong = [fold for fold in stored if type(fold) is not int or not 1 <= fold <= _MOST_FOLDS]
    if wrong or len(set(stored)) < len(stored):
        raise ValueError(f"folds are {str(stored)[:100]}")
    return tuple(stored)


def _fold_file(fold: int) -> str:
    return f"fold{fold}.safetensors"
