"""Why CUDA is not available on a machine with an NVIDIA driver, and what to do about it.

torch gives no reason when its CUDA is newer than the driver: ``torch.cuda.is_available()`` is
False, as on a machine without a card.
"""

import os
import shutil
import warnings
from functools import cache
from pathlib import Path

import torch

from carvision.errors import ConfigError

#: uv finds out the driver's CUDA version, and installs the torch that was built for it.
FITTING_TORCH = (
    "pip install uv && uv pip install --torch-backend=auto --reinstall torch torchvision"
)
_DRIVER = Path("/proc/driver/nvidia/version")


@cache
def why_no_cuda() -> str | None:
    """The reason in one sentence; None if CUDA is available, there is no driver, or it is hidden.

    An empty ``CUDA_VISIBLE_DEVICES``, or -1, hides all cards on purpose.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    if hidden or not _has_driver() or torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"this torch ({torch.__version__}) was built without CUDA"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.cuda.init()
    # The driver's message is the reason, whatever class of error torch raises with it.
    except Exception as error:
        return str(error).split("\n")[0].strip() or type(error).__name__
    return f"torch {torch.__version__} finds no card that it can use"


def refuse_unfit_card(device: str) -> None:
    """Test the card with one sum, before hours of training depend on it.

    Raises:
        ConfigError: torch has no code for this card (too old, or too new), or the card is broken.
    """
    if device != "cuda":
        return
    try:
        torch.ones(1, device="cuda").add(1).item()
    except RuntimeError as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(
            f"device=cuda: {torch.cuda.get_device_name()} cannot compute with torch "
            f"{torch.__version__}: {reason}. Install a torch that fits ({FITTING_TORCH}), or set "
            "device=cpu"
        ) from error


def _has_driver() -> bool:
    return _DRIVER.exists() or shutil.which("nvidia-smi") is not None
