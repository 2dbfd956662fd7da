"""The prediction engine, and the devices it runs on."""

from carvision.inference.device import (
    autocast,
    available_device,
    device_name,
    memory_format,
    resolve_device,
    resolve_precision,
    resolved_precision,
    to_device,
)
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
    "available_device",
    "device_name",
    "memory_format",
    "predict_ensemble",
    "predict_member",
    "predict_views",
    "predict_views_of_each",
    "resolve_device",
    "resolve_precision",
    "resolved_precision",
    "to_device",
]
