"""How training photos are varied."""

from typing import Annotated

from pydantic import Field

from carvision.config.section import Count, Positive, PositiveShare, Range, Section, Share


class PartCropConfig(Section):
    """How often a photo's front, rear, upper or lower part is shown, and how much of it."""

    p: Share
    share: Range[PositiveShare]


class DarkenConfig(Section):
    """How often a photo is darkened, and by which factor."""

    p: Share
    factor: Range[PositiveShare]


class BlurConfig(Section):
    """How often a photo is blurred, and by which Gauss curve (pixels of the training image)."""

    p: Share
    sigma: Range[Positive]


class CompressionConfig(Section):
    """How often a photo is compressed again, and at which JPEG quality."""

    p: Share
    quality: Range[Annotated[int, Field(ge=1, le=100)]]


class DropoutConfig(Section):
    """How often boxes of a photo are painted over, how many, and of which side (a share)."""

    p: Share
    holes: Range[Count]
    side: Range[PositiveShare]


class AugmentationConfig(Section):
    """How training photos are varied."""

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
