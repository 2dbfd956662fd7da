"""Views of test-time augmentation, computed on the device."""

import torch

from carvision.contracts import VIEWS


def apply_view(images: torch.Tensor, view: str) -> torch.Tensor:
    """Flip or turn ``images`` ``[B, C, H, W]`` as the view says; ``rot90`` needs squares.

    Raises:
        KeyError: the view is not one of ``VIEWS``.
    """
    match view:
        case "original":
            return images
        case "hflip":
            return images.flip(3)
        case "vflip":
            return images.flip(2)
        case "hvflip":
            return images.flip(2, 3)
        case "rot90":
            return images.rot90(1, (2, 3))
    raise KeyError(f"unknown view {view!r}; known: {list(VIEWS)}")
