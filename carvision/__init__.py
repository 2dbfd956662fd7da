"""carvision: image-classification competitions, won with tracked experiments."""

__version__ = "0.1.0"
