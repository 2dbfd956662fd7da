"""Make ``import timm`` work where torchvision's compiled operators cannot load.

Beside a torch without CUDA, a torchvision wheel that links CUDA stops at ``operator
torchvision::nms does not exist``. timm uses only its Python side, for which it is enough that the
two operators' schemas are declared.
"""

import sys

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def ensure_torchvision() -> None:
    """Import torchvision, with the missing schemas declared when only they stop it."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", _SCHEMA)
        import torchvision  # noqa: F401
