"""What training takes from timm: better than ours would be."""

from carvision.models._timm import timm as timm  # imported first: it mends torchvision's import

from timm.data.mixup import Mixup  # isort: skip
from timm.optim import param_groups_layer_decay  # isort: skip
from timm.utils import ModelEmaV3  # isort: skip

__all__ = ["Mixup", "ModelEmaV3", "param_groups_layer_decay"]
