"""The five views of test-time augmentation, in the order of every stored array."""

from typing import Final

#: ``rot90`` turns counter-clockwise.
VIEWS: Final[tuple[str, ...]] = ("original", "hflip", "vflip", "hvflip", "rot90")
