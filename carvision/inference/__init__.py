"""The prediction engine, and the devices it runs on."""

from carvision.inference.device import autocast, resolve_device, resolve_precision
from carvision.inference.predictor import (
    Engine,
    predict_ensemble,
    predict_member,
    predict_views,
)

__all__ = [
    "Engine",
    "autocast",
    "predict_ensemble",
    "predict_member",
    "predict_views",
    "resolve_device",
    "resolve_precision",
]
