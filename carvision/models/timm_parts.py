"""What training, and the rivals of its benchmarks, take from timm: better than ours would be."""

from carvision.models._timm import timm as timm  # imported first: it mends torchvision's import

from timm.data import ImageDataset, Mixup, create_loader  # isort: skip
from timm.loss import LabelSmoothingCrossEntropy  # isort: skip
from timm.optim import create_optimizer_v2, param_groups_layer_decay  # isort: skip
from timm.scheduler import create_scheduler_v2  # isort: skip
from timm.utils import ModelEmaV3  # isort: skip

__all__ = [
    "ImageDataset",
    "LabelSmoothingCrossEntropy",
    "Mixup",
    "ModelEmaV3",
    "create_loader",
    "create_optimizer_v2",
    "create_scheduler_v2",
    "param_groups_layer_decay",
]
