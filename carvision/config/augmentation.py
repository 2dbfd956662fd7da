"""The settings of the augmentation of training photos."""

from typing import Annotated

from pydantic import Field

from carvision.config.section import Count, Positive, PositiveShare, Range, Section, Share


class PartCropConfig(Section):
    """Probability of a crop of the front, rear, upper or lower part, and its share of the photo."""

    p: Share
    share: Range[PositiveShare]


class DarkenConfig(Section):
    """Probability that a photo is darkened, and the factor."""

    p: Share
    factor: Range[PositiveShare]


class BlurConfig(Section):
    """Probability of a Gaussian blur, and its sigma in pixels of the training image."""

    p: Share
    sigma: Range[Positive]


class CompressionConfig(Section):
    """Probability that a photo is compressed again, and the JPEG quality."""

    p: Share
    quality: Range[Annotated[int, Field(ge=1, le=100)]]


class DropoutConfig(Section):
    """Probability that boxes are painted over, how many, and their side (a share)."""

    p: Share
    holes: Range[Count]
    side: Range[PositiveShare]


class AugmentationConfig(Section):
    """The settings of the augmentation of training photos."""

    crop_scale: Range[PositiveShare]
    crop_jitter: Annotated[float, Field(ge=0, lt=1)]
    part_crop: PartCropConfig
    hflip: Share
    brightness: Share
    contrast: Share
    saturation: Share
    darken: DarkenConfig
    blur: BlurConfig
    compression: CompressionConfig
    dropout: DropoutConfig
