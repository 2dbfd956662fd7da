"""The layers of the configuration, and what they refuse."""

import pytest
from pydantic import ValidationError

from carvision.config import (
    Config,
    list_models,
    list_recipes,
    load_config,
    restored_config,
    split_models,
)
from carvision.errors import ConfigError


@pytest.fixture
def user_file(tmp_path):
    """Write a configuration file; return what ``config=`` takes."""

    def write(text: str) -> str:
        path = tmp_path / "my.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("recipe", list_recipes())
@pytest.mark.parametrize("name", list_models())
def test_every_preset_loads_with_every_recipe(name, recipe):
    config = load_config(name, recipe=recipe)
    assert (config.name, config.recipe) == (name, recipe)
    assert Config.model_validate(config.model_dump()) == config


def test_order_of_the_layers(user_file):
    # base < recipe
    assert load_config("efficientnet_lite0").optimizer.weight_decay == 0.05
    assert load_config("efficientnet_lite0", recipe="plan").optimizer.weight_decay == 1e-4
    # recipe < backbone
    assert load_config("efficientnet_lite0", recipe="plan").optimizer.lr == 0.01
    assert load_config("convnext_large", recipe="plan").optimizer.lr == 0.008
    assert load_config("convnext_large", recipe="plan").train.batch_size == 16
    # backbone < config file
    mine = user_file("optimizer: {lr: 0.5}\ntrain: {batch_size: 3}")
    config = load_config("convnext_large", recipe="plan", config=mine)
    assert (config.optimizer.lr, config.train.batch_size) == (0.5, 3)
    # config file < set
    config = load_config(
        "convnext_large", recipe="plan", config=mine, overrides="optimizer.lr=0.25 seed=4"
    )
    assert (config.optimizer.lr, config.train.batch_size, config.seed) == (0.25, 3, 4)
    # A layer replaces the values that it names, and leaves their neighbours.
    assert config.optimizer.weight_decay == 1e-4
    # The command line's own parameters come last.
    assert load_config(overrides="seed=4", seed="5").seed == 5
    assert load_config(overrides="seed=4 device=cpu", seed="", device="").seed == 4


@pytest.mark.parametrize(
    ("recipe", "text", "overrides", "expected"),
    [
        ("", "seed: 1", "", "finetune"),
        ("", "recipe: plan", "", "plan"),
        ("", "recipe: plan", "recipe=finetune", "finetune"),
        ("plan", "recipe: finetune", "recipe=finetune", "plan"),
    ],
)
def test_who_chooses_the_recipe(user_file, recipe, text, overrides, expected):
    config = load_config(recipe=recipe, config=user_file(text), overrides=overrides)
    assert config.recipe == expected
    assert config.schedule.name == {"plan": "cosine_restarts", "finetune": "cosine"}[expected]


@pytest.mark.parametrize(
    ("overrides", "section", "key", "expected"),
    [
        ("train.epochs=3", "train", "epochs", 3),
        ("train.epochs=3 train.epochs=4", "train", "epochs", 4),
        ("train.batch_size=auto mixing.cutmix_alpha=1", "train", "batch_size", "auto"),
        ("optimizer.lr=1e-3", "optimizer", "lr", 0.001),
        ("loss.name=focal", "loss", "name", "focal"),
        ("train.max_steps=null", "train", "max_steps", None),
        ("model.pretrained=false", "model", "pretrained", False),
        ("augmentation.crop_scale=[0.6,1.0]", "augmentation", "crop_scale", (0.6, 1.0)),
        ('"augmentation.crop_scale=[0.6, 1.0]"', "augmentation", "crop_scale", (0.6, 1.0)),
        ("data.same_classes=[[가,나],[a,b]]", "data", "same_classes", (("가", "나"), ("a", "b"))),
    ],
)
def test_set(overrides, section, key, expected):
    assert getattr(getattr(load_config(overrides=overrides), section), key) == expected


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        # Unknown keys, with the nearest known name.
        ("train.epoch=3", ["'train.epoch'", "'train.epochs'"]),
        ("epochs=3", ["'epochs'", "'train.epochs'"]),
        ("optimiser.lr=3", ["'optimiser'", "'optimizer'"]),
        ("train.batch-size=3", ["'train.batch-size'", "'train.batch_size'"]),
        ("loss.gamma=3", ["'loss.gamma'", "'loss.focal_gamma'"]),
        ("train.label_smoothing=0", ["'train.label_smoothing'", "'loss.label_smoothing'"]),
        # Wrong types and values out of range, with the key's whole name and what came.
        ("train.epochs=many", ["train.epochs", "integer", "'many'"]),
        ("train.epochs=3.5", ["train.epochs", "integer", "3.5"]),
        ("train.epochs=", ["train.epochs", "integer", "None"]),
        ("train.epochs=0", ["train.epochs", "greater than or equal to 1"]),
        ("optimizer.lr=.nan", ["optimizer.lr", "finite"]),
        ("optimizer.lr=-1", ["optimizer.lr", "greater than 0"]),
        ("model.image_size=31", ["model.image_size", "32"]),
        ("model.pool=max", ["model.pool", "'default' or 'gem'", "'max'"]),
        ("loss=focal", ["loss", "dictionary", "'focal'"]),
        ("augmentation.crop_scale=[0.5]", ["augmentation.crop_scale"]),
        ("device=gpu", ["device", "'cuda'", "'gpu'"]),
        ("data.folds=1", ["data.folds", "greater than or equal to 2"]),
        ("seed=-1", ["seed"]),
        ("train.batch_size=0", ["train.batch_size", "greater than or equal to 1", "got 0"]),
        ("train.batch_size=many", ["train.batch_size", "integer", "'auto'", "'many'"]),
        ("loss.label_smoothing=1", ["loss.label_smoothing", "less than 1", "got 1"]),
        ("loss.focal_gamma=-0.5", ["loss.focal_gamma", "greater than or equal to 0", "-0.5"]),
        ("loss.t1=1.2", ["loss.t1", "less than or equal to 1", "1.2"]),
        ("loss.t2=0.8", ["loss.t2", "greater than or equal to 1", "0.8"]),
        # Combinations that cannot run.
        ("train.batch_size=3 mixing.cutmix_alpha=1", ["train.batch_size", "even number"]),
        ("augmentation.crop_scale=[0.9,0.5]", ["augmentation", "smaller end comes first"]),
        ("schedule.eta_min=1", ["schedule.eta_min", "optimizer.lr"]),
        ("data.same_classes=[[a,b],[b,c]]", ["same_classes", "'b'", "more than once"]),
        ("data.same_classes=[[a]]", ["same_classes", "at least two"]),
        # Several mistakes are told at once.
        ("train.epochs=0 loss.name=hinge", ["train.epochs", "loss.name", "'hinge'"]),
        # Not key=value at all.
        ("train.epochs", ["key=value", "'train.epochs'"]),
        ("=3", ["key=value", "'=3'"]),
        ("train.epochs = 3", ["key=value"]),
        ("'train.epochs=3", ["quotation"]),
        ("train.epochs=[3", ["train.epochs", "cannot be read"]),
    ],
)
def test_set_refuses(overrides, words):
    with pytest.raises(ConfigError) as error:
        load_config(overrides=overrides)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("batch_size", "train.batch_size"), ("image_size", "model.image_size")],
)
def test_the_nearest_of_equal_names_is_the_usual_one(key, nearest):
    with pytest.raises(ConfigError, match=nearest):
        load_config(overrides=f"{key}=64")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "swin_larg"}, ["unknown backbone", "'swin_larg'", "'swin_large'"]),
        ({"model": "nothing_like_it"}, ["unknown backbone", "vit_base"]),
        ({"model": ""}, ["unknown backbone", "vit_base"]),
        ({"recipe": "finetun"}, ["unknown recipe", "'finetun'", "'finetune'"]),
        ({"overrides": "recipe=plam"}, ["unknown recipe", "'plam'", "'plan'"]),
        ({"seed": "abc"}, ["seed", "integer", "'abc'"]),
        ({"device": "gpu"}, ["device", "'gpu'"]),
    ],
)
def test_unknown_names(arguments, words):
    with pytest.raises(ConfigError) as error:
        load_config(**arguments)
    for word in words:
        assert word in str(error.value)


def test_a_recipe_that_is_no_text():
    with pytest.raises(ConfigError, match="recipe"):
        load_config(overrides="recipe=3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b", "mapping"),
        ("", "mapping"),
        ("a: [1", "not valid YAML"),
        ("train: {epoch: 1}", r"'train.epoch' \(did you mean 'train.epochs'"),
        ("train: 3", "train: .*dictionary"),
        ("recipe: finetun", "did you mean 'finetune'"),
    ],
)
def test_config_file_refused(user_file, text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(config=user_file(text))


def test_config_file_missing(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml: there is no such file"):
        load_config(config=str(tmp_path / "absent.yaml"))


def test_config_file_in_another_encoding(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_bytes("data: {same_classes: [[라브4, 라브]]}".encode("cp949"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(config=str(path))


@pytest.mark.parametrize("name", ["swin_large", "vit_base"])
def test_an_architecture_of_fixed_size_trains_at_it(name):
    size = load_config(name).model.image_size
    assert load_config(name, overrides=f"train.image_size={size}").train_image_size == size
    with pytest.raises(ConfigError, match=rf"train\.image_size: {name} .*{size}; got 64"):
        load_config(name, overrides="train.image_size=64")


@pytest.mark.parametrize(("size", "expected"), [(32, 32), (64, 64), (160, 128), (480, 384)])
def test_training_size_is_a_fraction(size, expected):
    config = load_config(overrides=f"model.image_size={size}")
    assert config.train_image_size == expected
    explicit = load_config(overrides=f"model.image_size={size} train.image_size=96")
    assert explicit.train_image_size == 96


def test_frozen():
    config = load_config()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.train.epochs = 3


@pytest.mark.parametrize(
    "overrides",
    [
        "device=cpu",
        "loader.workers=3",
        "data.folds=3 data.split_seed=4",
        "inference.batch_size=7",
        # The set's name takes the file's content instead.
        "model.weights=w.safetensors",
        # What the default comes to anyway.
        "train.image_size=128",
    ],
)
def test_settings_that_do_not_change_the_result(overrides):
    assert load_config(overrides=overrides).result_settings() == load_config().result_settings()


@pytest.mark.parametrize(
    "overrides",
    [
        "seed=1",
        "train.epochs=9",
        "train.max_steps=9",
        "train.batch_size=9",
        "train.batch_size=auto",
        "train.image_size=96",
        "model.pretrained=false",
        "model.image_size=96",
        "optimizer.lr=0.1",
        "augmentation.hflip=0",
    ],
)
def test_settings_that_change_the_result(overrides):
    assert load_config(overrides=overrides).result_settings() != load_config().result_settings()


def test_the_plans_weight_does_not_change_a_backbones_result():
    other = load_config(overrides="model.ensemble_weight=11")
    assert other.result_settings() == load_config().result_settings()


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("swin_large", ["swin_large"]),
        (" vit_base , swin_large,vit_base,", ["vit_base", "swin_large"]),
        ("all", list_models()),
    ],
)
def test_split_models(models, expected):
    assert split_models(models) == expected


@pytest.mark.parametrize("models", ["", " , ", "vit_base,swin"])
def test_split_models_refuses(models):
    with pytest.raises(ConfigError):
        split_models(models)


def test_split_is_completed_from_what_was_prepared():
    prepared = load_config(overrides="data.folds=3 data.split_seed=9").data.split()
    assert (prepared.folds, prepared.split_seed, prepared.same_classes) == (3, 9, ())
    later = load_config(overrides="data.split_seed=1").data.split(prepared)
    assert (later.folds, later.split_seed) == (3, 1)
    assert load_config().data.split().folds == 5


def test_same_classes_by_the_name_of_a_preset():
    groups = load_config(overrides="data.same_classes=hai").data.same_classes
    assert groups is not None
    assert len(groups) == 5 and all(len(group) == 2 for group in groups)
    assert ("RAV4_2016_2018", "라브4_4세대_2013_2018") in groups
    with pytest.raises(ConfigError, match=r"unknown set of classes 'hay' .did you mean 'hai'"):
        load_config(overrides="data.same_classes=hay")


def test_a_stored_configuration_is_completed_with_todays_values() -> None:
    config = load_config("swin_large", recipe="plan", overrides="train.epochs=3 seed=4")
    stored = config.model_dump(mode="json")
    assert restored_config(stored) == config
    # Keys that are new today, and one that no longer exists.
    del stored["loader"], stored["train"]["checkpoint_minutes"]
    stored["train"]["forgotten"] = 1
    today = load_config("swin_large", recipe="plan")
    restored = restored_config(stored)
    assert (restored.train.epochs, restored.seed) == (3, 4)
    assert restored.loader == today.loader
    assert restored.train.checkpoint_minutes == today.train.checkpoint_minutes
