"""Predictions, and the devices and precisions in which they are computed."""

from carvision.inference.compute_settings import ComputeSettings
from carvision.inference.device import (
    autocast,
    available_device,
    device_name,
    memory_format,
    prediction_precision,
    resolve_device,
    resolve_precision,
    resolved_precision,
    to_device,
)
from carvision.inference.predictor import (
    PhotosToPredict,
    predict_member,
    predict_views,
    predict_views_of_each,
)

__all__ = [
    "ComputeSettings",
    "PhotosToPredict",
    "autocast",
    "available_device",
    "device_name",
    "memory_format",
    "predict_member",
    "predict_views",
    "predict_views_of_each",
    "prediction_precision",
    "resolve_device",
    "resolve_precision",
    "resolved_precision",
    "to_device",
]
