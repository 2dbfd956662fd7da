"""What carvision sets in other libraries for a whole process.

These settings hold for every user of a library in the process, so no import makes them: a command
does when it starts, and so do a loader's worker and a registered model that is loaded.
"""

import os
import warnings
from typing import Final

from PIL import Image

#: Pillow warns of photos with more pixels and refuses photos with twice as many, as a
#: decompression bomb may have.
_MAX_PIXELS: Final = 100_000_000


def set_up_libraries() -> None:
    """Set Pillow's limit, silence warnings of torch and Optuna, and keep albumentations offline."""
    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS
    # Pillow's arrays are read-only and torch only reads them; a copy would make decoding slower.
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    # The pinned version of Optuna has the plots that are used.
    warnings.filterwarnings("ignore", message=r"optuna\.visualization\.matplotlib.* experimental")
    # In fp16, the scaler may skip the optimiser's first steps; the schedule counts them anyway.
    warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step", UserWarning)
    # When it is imported, albumentations asks the network for a newer version of itself.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
