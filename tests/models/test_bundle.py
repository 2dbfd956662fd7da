"""A backbone's folder: what was written comes back, and damage is a WeightsError."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from carvision.config import Config
from carvision.contracts import ClassMap
from carvision.errors import CarvisionError, WeightsError
from carvision.files import read_json, write_json
from carvision.models import (
    Bundle,
    backbone,
    build_model,
    preprocessing_of,
    read_bundle,
    write_bundle,
)

CLASSES = ClassMap.of(["K5_하이브리드", "K5_Hybrid", "Niro"], [["K5_하이브리드", "K5_Hybrid"]])


@pytest.fixture(scope="module")
def models(random_config: Config) -> dict[int, nn.Module]:
    """Models of folds 1 and 3."""
    torch.manual_seed(0)
    return {fold: build_model(random_config, 2, pretrained=False).eval() for fold in (1, 3)}


@pytest.fixture
def bundle(random_config: Config, models: dict[int, nn.Module], tmp_path: Path) -> Bundle:
    files = {}
    for fold in (3, 1):
        files[fold] = tmp_path / f"best{fold}.safetensors"
        save_file(models[fold].state_dict(), files[fold])
    write_bundle(tmp_path / "bundle", random_config, CLASSES, files)
    return read_bundle(tmp_path / "bundle")


def test_description_survives(bundle: Bundle, random_config: Config) -> None:
    assert bundle.config == random_config
    assert bundle.classes == CLASSES
    assert bundle.preprocessing == preprocessing_of(random_config)
    assert bundle.folds == (1, 3)


@torch.inference_mode()
def test_every_fold_gives_the_same_logits_again(
    bundle: Bundle, models: dict[int, nn.Module]
) -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    loaded = {fold: bundle.load_fold(fold) for fold in bundle.folds}
    for fold, model in loaded.items():
        assert not model.training
        assert torch.equal(model(images), models[fold](images))
    assert not torch.equal(loaded[1](images), loaded[3](images))


def test_a_second_writing_replaces_the_first(bundle: Bundle) -> None:
    file = bundle.folder.parent / "again.safetensors"
    shutil.copyfile(bundle.folder / "fold1.safetensors", file)
    write_bundle(bundle.folder, bundle.config, CLASSES, {1: file})
    assert sorted(path.name for path in bundle.folder.iterdir()) == [
        "fold1.safetensors",
        "model.json",
    ]
    assert read_bundle(bundle.folder).folds == (1,)


@pytest.mark.parametrize("damage", ["empty", "cut", "missing", "other classes"])
def test_a_damaged_fold_is_refused(bundle: Bundle, damage: str) -> None:
    path = bundle.folder / "fold1.safetensors"
    if damage == "missing":
        path.unlink()
    elif damage == "other classes":
        save_file(build_model(bundle.config, 3, pretrained=False).state_dict(), path)
    else:
        content = path.read_bytes()
        path.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"fold1\.safetensors"):
        bundle.load_fold(1)
    # The other fold is as good as before.
    bundle.load_fold(3)


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "[]", "null", '{"config": {}}', '{"config": 3}', "\udcff"]
)
def test_a_damaged_description_is_refused(bundle: Bundle, text: str) -> None:
    (bundle.folder / "model.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(WeightsError, match="holds no model of carvision"):
        read_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("folds", []),
        ("folds", "12"),
        ("folds", [1, 1]),
        ("folds", [0]),
        ("folds", [True]),
        ("folds", ["../../1"]),
        ("folds", [1.0]),
        ("folds", [10**9]),
        ("config.name", "../swin_large"),
        ("config.name", ["x"]),
        ("config.recipe", "/etc/passwd"),
        ("config.model.image_size", 10**9),
        ("config.model.timm_name", 3),
        ("classes.names", ["a"]),
        ("classes.folders", [["a"], ["a"]]),
        ("preprocessing.image_size", 10**9),
        ("preprocessing.image_size", "32"),
        ("preprocessing.mean", [0.5]),
        ("preprocessing.std", [1, 1, 0]),
        ("preprocessing.std", [1, 1, None]),
        ("preprocessing.interpolation", "__import__"),
    ],
)
def test_a_description_by_somebody_else_is_checked(
    bundle: Bundle, path: str, value: object
) -> None:
    file = bundle.folder / "model.json"
    content = read_json(file)
    *parents, last = path.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    write_json(file, content)
    with pytest.raises(WeightsError, match="holds no model of carvision"):
        read_bundle(bundle.folder)


@pytest.mark.parametrize("timm_name", ["hf-hub:evil/model", "local-dir:/etc", "../x", "a\0b"])
def test_a_network_from_elsewhere_is_not_built(bundle: Bundle, timm_name: str) -> None:
    file = bundle.folder / "model.json"
    content = read_json(file)
    content["config"]["model"]["timm_name"] = timm_name
    write_json(file, content)
    with pytest.raises(CarvisionError, match=r"model\.timm_name="):
        read_bundle(bundle.folder).load_fold(1)


def test_no_file_and_no_package_that_it_names_is_read(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[object, ...]] = []
    file = bundle.folder / "model.json"
    content = read_json(file)
    content["config"]["model"] |= {"weights": "/dev/zero", "starter": "os", "pretrained": True}
    write_json(file, content)
    for name in ("read_state_dict", "load_starter"):
        monkeypatch.setattr(backbone, name, lambda *arguments: read.append(arguments))
    read_bundle(bundle.folder).load_fold(1)
    assert read == []


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no model of carvision"):
        read_bundle(tmp_path / "absent")
