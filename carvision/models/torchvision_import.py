"""Import torchvision, also where its compiled operators cannot load.

The registry's torchvision wheel links CUDA. Beside a torch without CUDA, importing it fails with
``operator torchvision::nms does not exist``. timm uses only its Python code, for which it is enough
to declare the schemas of the two missing operators.
"""

import sys

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def ensure_torchvision() -> None:
    """Import torchvision; declare the missing schemas first, where only they prevent it."""
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
