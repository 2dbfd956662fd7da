"""The rivals of carvision's input pipeline: timm's loader, and Pillow with albumentations."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from carvision.benchmarks.contest import Build
from carvision.config import AugmentationConfig
from carvision.models.timm_api import load_timm


def one_pass(loader: DataLoader[Any]) -> int:
    """Iterate over all batches once; return the number of images."""
    return sum(len(batch[0]) for batch in loader)


def timm_loader(folder: Path, px: int, batch: int, config: AugmentationConfig) -> Build:
    """Load by timm's data set, transform and loader, up to the uint8 batch, not normalised."""
    return partial(_build_timm, folder, px, batch, config)


def _build_timm(folder: Path, px: int, batch: int, config: AugmentationConfig) -> Any:
    data = load_timm().data
    loader = data.create_loader(
        data.ImageDataset(str(folder)),
        input_size=(3, px, px),
        batch_size=batch,
        is_training=True,
        scale=config.crop_scale,
        hflip=config.hflip,
        color_jitter=config.brightness,
        interpolation="bicubic",
        num_workers=1,
        persistent_workers=True,
        device=torch.device("cpu"),
    )
    return partial(one_pass, loader.loader)


class _Photos(Dataset[tuple[torch.Tensor, int]]):
    """Photos that Pillow decodes and albumentations augments."""

    def __init__(self, folder: Path, px: int, config: AugmentationConfig) -> None:
        # Imported here, in the process that is measured: it takes a second.
        import albumentations

        self._paths = sorted(folder.glob("*/*.jpg"))
        colour = [(1 - v, 1 + v) for v in (config.brightness, config.contrast, config.saturation)]
        self._augment = albumentations.Compose(
            [
                albumentations.RandomResizedCrop((px, px), scale=config.crop_scale),
                albumentations.HorizontalFlip(p=config.hflip),
                albumentations.ColorJitter(*colour, hue=(0, 0), p=1.0),
            ]
        )

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = np.asarray(Image.open(self._paths[index]).convert("RGB"))
        augmented = self._augment(image=image)["image"]
        return torch.from_numpy(np.ascontiguousarray(augmented.transpose(2, 0, 1))), 0


def albumentations_loader(folder: Path, px: int, batch: int, config: AugmentationConfig) -> Build:
    """Load by Pillow and albumentations in a DataLoader."""
    return partial(_build_albumentations, folder, px, batch, config)


def _build_albumentations(folder: Path, px: int, batch: int, config: AugmentationConfig) -> Any:
    loader = DataLoader(
        _Photos(folder, px, config),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=1,
        persistent_workers=True,
    )
    return partial(one_pass, loader)
