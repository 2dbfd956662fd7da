"""Backbones, pretrained weights, losses, and the folder of a trained backbone."""

from carvision.models.backbone import (
    Preprocessing,
    build_model,
    classifier_parameters,
    preprocessing_of,
    smallest_batch,
)
from carvision.models.bundle import Bundle, read_bundle, write_bundle
from carvision.models.losses import build_loss
from carvision.models.weights import ensure_weights

__all__ = [
    "Bundle",
    "Preprocessing",
    "build_loss",
    "build_model",
    "classifier_parameters",
    "ensure_weights",
    "preprocessing_of",
    "read_bundle",
    "smallest_batch",
    "write_bundle",
]
