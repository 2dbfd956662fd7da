"""Pretrained weights: from a starter's package, from a file, or from the Hugging Face hub.

:func:`ensure_weights` is called before any other work, so that missing weights stop a run at once.
"""

import logging
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.utils import logging as hub_logging

from carvision.config import Config
from carvision.errors import WeightsError
from carvision.models.starters import starter_file
from carvision.models.timm_api import pretrained_cfg

log = logging.getLogger(__name__)


def ensure_weights(config: Config) -> None:
    """Make sure that a configuration's pretrained weights are here; download them if needed.

    Raises:
        WeightsError: they are not; the message says how to get them.
    """
    model = config.model
    if not model.pretrained:
        return
    if model.weights is not None:
        if not model.weights.is_file():
            raise WeightsError(f"model.weights={model.weights}: there is no such file")
        return
    if model.starter is not None:
        starter_file(model.starter)
        return
    hub_id = pretrained_cfg(model.timm_name).hf_hub_id
    if not hub_id:
        raise WeightsError(f"there are no pretrained weights of {model.timm_name!r} on the hub")
    log.info("fetching %s from the hub, unless it is there already", hub_id)
    # Each of the client's five retries would log a warning; the error below says it once.
    hub_logging.set_verbosity_error()
    try:
        hf_hub_download(hub_id, "model.safetensors")
    # The hub's client raises OSError, ValueError and the errors of its HTTP library.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(
            f"the weights of {config.name} ({hub_id}) cannot be fetched from the hub: {reason}\n"
            "Three ways on:\n"
            "  reach the hub once (the download is kept), then run the same command again;\n"
            f"  set=model.weights=FILE  with timm's weights of {model.timm_name}, "
            ".safetensors or .pth, copied from elsewhere;\n"
            "  set=model.pretrained=false  to train from random weights"
        ) from error


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a ``.safetensors`` or ``.pth`` file, without running a pickle's code.

    Raises:
        WeightsError: the file does not hold named tensors, and nothing else.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file raises one of a dozen errors, depending on where it is damaged.
    except Exception as error:
        raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    for key in ("state_dict_ema", "model_ema", "state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(torch.is_tensor(v) for v in content.values()):
        raise WeightsError(f"{path} holds no state dict: expected named tensors")
    return content
