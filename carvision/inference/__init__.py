"""The prediction engine, and the devices it runs on."""

from carvision.inference.device import autocast, resolve_device, resolve_precision
from carvision.inference.predictor import (
    Engine,
    predict_ensemble,
    predict_member,
    predict_views,
    predict_views_of_each,
)

__all__ = [
    "Engine",
    "autocast",
    "predict_ensemble",
    "predict_member",
    "predict_views",
    "predict_views_of_each",
    "resolve_device",
    "resolve_precision",
]
