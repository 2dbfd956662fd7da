"""Libraries are set up when a process asks for it, and not by an import."""

import subprocess
import sys

_CODE = """
import os, warnings
import numpy as np
import torch
from PIL import Image

os.environ.pop("NO_ALBUMENTATIONS_UPDATE", None)
before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
import carvision.data.loading.training_photos
import carvision.data.loading.inference_photos
from carvision.library_settings import set_up_libraries
assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before
assert "NO_ALBUMENTATIONS_UPDATE" not in os.environ

set_up_libraries()
assert Image.MAX_IMAGE_PIXELS == 100_000_000
assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
torch.from_numpy(np.asarray(Image.new("RGB", (2, 2))))
"""


def test_libraries_are_set_up_on_demand() -> None:
    # Of its own process: torch warns of read-only arrays once.
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
