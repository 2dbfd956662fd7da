"""One optimiser step: micro-batches, memory that runs out, frozen layers, the learning rate."""

from copy import deepcopy

import pytest
import torch

from carvision.errors import CarvisionError
from carvision.inference import ComputeSettings
from carvision.inference.memory import is_out_of_memory
from carvision.models import classifier_parameters
from carvision.models.timm_api import load_timm
from carvision.training import learner as module
from carvision.training.learner import Learner, UpdateCutShortError, constant_lr
from tests.training.conftest import tiny

CLASSES = 3


#: Without batch norm, and so small that it costs next to nothing.
VIT = (
    "model.timm_name=test_vit.r160_in1k model.fixed_size=true model.image_size=32 "
    "train.image_size=32"
)


def _learner(overrides="", warnings=None, lr_factor=constant_lr):
    torch.manual_seed(0)
    config = tiny(f"model.pretrained=false {overrides}")
    warn = (warnings if warnings is not None else []).append
    return Learner(config, CLASSES, ComputeSettings.of(config), warn, lr_factor)


def _batch(images=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(CLASSES, (images,), generator=generator)


def _without_batch_norm(learner):
    """Freeze batch norm, which sees micro-batches one by one; everything else adds up."""
    for part in learner.network.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.train(False)


def _weights(learner):
    return {k: v.clone() for k, v in learner.network.state_dict().items()}


@pytest.mark.parametrize("size", [8, 7, 5])
def test_micro_batches_add_up_to_the_whole(size):
    whole, parts = _learner("optimizer.name=sgd"), _learner("optimizer.name=sgd")
    parts.micro_batch = 3
    losses = []
    for learner in (whole, parts):
        learner.start_epoch(1)
        _without_batch_norm(learner)
        losses.append(learner.step(*_batch(size)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for (name, one), other in zip(_weights(whole).items(), _weights(parts).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=name)


def _short_of_memory(learner, largest, error):
    """A network that takes no more than so many images at a time."""
    forward = learner.network.forward

    def limited(images):
        if len(images) > largest:
            raise error
        return forward(images)

    learner.network.forward = limited


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:125] . DefaultCPUAllocator: can't allocate memory"
    ),
]


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "mps", "cpu"])
def test_a_batch_that_does_not_fit_is_halved(error):
    warnings = []
    learner = _learner(warnings=warnings)
    learner.start_epoch(1)
    _short_of_memory(learner, 3, error)
    before = _weights(learner)
    assert learner.step(*_batch(8)) > 0
    assert [w.partition(";")[0] for w in warnings] == [
        "out of memory with 8 images at a time: going on with 4",
        "out of memory with 4 images at a time: going on with 2",
    ]
    assert any(not torch.equal(v, before[k]) for k, v in _weights(learner).items())
    # It stays so, and is remembered.
    learner.step(*_batch(8))
    assert len(warnings) == 2
    assert learner.state_dict()["micro_batch"] == 2


def test_a_batch_that_is_tried_again_counts_once_in_batch_norm():
    tried, small = _learner(warnings=(warnings := [])), _learner("train.batch_size=4")
    forward = tried.network.forward

    def too_late(images):
        # The statistics have changed by then.
        logits = forward(images)
        if len(images) > 4:
            raise ERRORS[0]
        return logits

    tried.network.forward = too_late
    for learner in (tried, small):
        learner.start_epoch(1)
        learner.step(*_batch(8))
    assert len(warnings) == 1
    for (name, one), other in zip(_weights(tried).items(), _weights(small).values(), strict=True):
        assert torch.equal(one, other), name
    assert _weights(tried)["bn1.num_batches_tracked"] == 2


@pytest.mark.parametrize(
    ("part", "method"), [(torch.optim.AdamW, "step"), (load_timm().utils.ModelEmaV3, "update")]
)
def test_memory_that_runs_out_in_the_update_says_where_to_go_on(part, method, monkeypatch):
    def short(*arguments, **named):
        raise ERRORS[0]

    monkeypatch.setattr(part, method, short)
    learner = _learner()
    learner.start_epoch(1)
    with pytest.raises(UpdateCutShortError) as caught:
        learner.step(*_batch(8))
    assert caught.value.micro_batch == 4
    learner.micro_batch = 2
    with pytest.raises(CarvisionError, match="not even 2 images at a time"):
        learner.step(*_batch(8))


def test_an_average_that_has_no_room_is_said(monkeypatch):
    def short(*arguments, **named):
        raise ERRORS[0]

    monkeypatch.setattr("timm.utils.ModelEmaV3", short)
    with pytest.raises(CarvisionError, match=r"efficientnet_lite0: .* train\.ema_decay=null"):
        _learner()


@pytest.mark.parametrize(
    ("images", "room", "overrides", "tried"),
    [
        # Not given up before two.
        (12, 2, "", [12, 6, 3, 2]),
        # Five images are not split into two, two and one.
        (5, 3, "", [5, 3]),
        (7, 3, "", [7, 3, 2]),
        # Without batch norm an image can be alone.
        (6, 1, VIT, [6, 3, 1]),
        (3, 1, VIT, [3, 1]),
    ],
)
def test_halving_ends_at_what_the_network_needs(images, room, overrides, tried):
    learner = _learner(overrides)
    learner.micro_batch = images
    learner.start_epoch(1)
    seen = []
    forward = learner.network.forward

    def limited(part):
        seen.append(len(part))
        if len(part) > room:
            raise ERRORS[0]
        return forward(part)

    learner.network.forward = limited
    assert learner.step(*_batch(images)) > 0
    assert sorted(set(seen), reverse=True)[: len(tried)] == tried
    assert min(seen) >= (1 if overrides else 2)
    assert sum(seen[-images:]) >= images


@pytest.mark.parametrize(
    ("images", "micro", "fewest"), [(3, 3, 3), (5, 3, 3), (5, 2, 3), (2, 2, 2), (9, 2, 3)]
)
def test_what_cannot_be_split_further_says_how_many_did_not_fit(images, micro, fewest):
    learner = _learner()
    learner.micro_batch = micro
    learner.start_epoch(1)
    _short_of_memory(learner, 1, ERRORS[0])
    with pytest.raises(CarvisionError, match=f"not even {fewest} images at a time"):
        learner.step(*_batch(images))


def test_where_nothing_fits_it_says_what_to_do():
    learner = _learner()
    learner.start_epoch(1)
    _short_of_memory(learner, 1, ERRORS[0])
    with pytest.raises(
        CarvisionError, match=r"not even 2 images at a time .*grad_checkpointing=true"
    ):
        learner.step(*_batch(8))


def test_other_errors_are_not_taken_for_memory():
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert is_out_of_memory(MemoryError())
    learner = _learner()
    learner.start_epoch(1)
    _short_of_memory(learner, 3, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        learner.step(*_batch(8))


def test_the_classifier_learns_alone_in_the_first_epochs():
    learner = _learner("train.head_first_epochs=1 train.epochs=3")
    before = _weights(learner)
    head = classifier_parameters(learner.network)

    def moved():
        return {k for k, p in learner.network.named_parameters() if not torch.equal(p, before[k])}

    learner.start_epoch(1)
    learner.step(*_batch())
    assert moved() == head
    learner.start_epoch(2)
    learner.step(*_batch())
    assert moved() > head


def test_the_average_follows_the_network():
    learner = _learner("train.ema_decay=0.9")
    learner.start_epoch(1)
    for step in range(6):
        learner.step(*_batch(seed=step))
    average, network = learner.averaged_network, learner.network
    assert not average.training
    near = list(zip(average.parameters(), network.parameters(), strict=True))
    assert all(torch.isfinite(a).all() for a, _ in near)
    assert any(not torch.equal(a, b) for a, b in near)


def test_the_learning_rate_follows_its_factor():
    peak = tiny().optimizer.lr

    def halving(step):
        return 0.5**step

    learner = _learner("optimizer.layer_decay=0.8 optimizer.head_lr_factor=3.0", None, halving)
    learner.start_epoch(1)
    rates = []
    for step in range(3):
        rates.append(learner.lr)
        learner.step(*_batch(seed=step))
    assert rates == [peak, peak / 2, peak / 4]
    # A learner that goes on is at the same place of the schedule.
    other = _learner("optimizer.layer_decay=0.8 optimizer.head_lr_factor=3.0", None, halving)
    other.load_state_dict(deepcopy(learner.state_dict()))
    assert other.lr == learner.lr == peak / 8


def test_a_factor_of_zero_moves_no_weight():
    learner = _learner(lr_factor=lambda step: 0.0)
    learner.start_epoch(1)
    before = {name: p.clone() for name, p in learner.network.named_parameters()}
    learner.step(*_batch())
    assert all(torch.equal(p, before[name]) for name, p in learner.network.named_parameters())


@pytest.fixture
def with_scaler(monkeypatch):
    """A learner that scales its loss, as in fp16, but computes in float32, as a CPU can."""

    def make(overrides="", lr_factor=constant_lr):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)

        with monkeypatch.context() as patch:
            patch.setattr(module, "grad_scaler", lambda device, precision: scaler)
            learner = _learner(overrides, lr_factor=lr_factor)
        learner.start_epoch(1)
        return learner, scaler

    return make


def test_scaled_gradients_move_the_weights_as_plain_ones_do(with_scaler):
    plain = _learner("optimizer.name=sgd")
    plain.start_epoch(1)
    plain.step(*_batch())
    scaled, _ = with_scaler("optimizer.name=sgd")
    scaled.step(*_batch())
    # A power of two takes nothing from a float; clipping sees the gradients unscaled.
    for (name, one), other in zip(_weights(plain).items(), _weights(scaled).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_step_that_overflows_changes_no_weight(with_scaler, optimizer):
    learner, scaler = with_scaler(f"optimizer.name={optimizer}", lambda step: float(step > 0))
    # Momentum, and a loss above 1 as at the start: times 3.4e38 that is more than a float holds.
    assert learner.step(*_batch()) > 1.1
    before = {k: p.clone() for k, p in learner.network.named_parameters()}
    scaler.update(3.4e38)
    assert learner.step(*_batch()) < 100
    assert all(torch.equal(p, before[k]) for k, p in learner.network.named_parameters())
    assert scaler.get_scale() == pytest.approx(1.7e38)
    scaler.update(1024.0)
    learner.step(*_batch())
    assert any(not torch.equal(p, before[k]) for k, p in learner.network.named_parameters())


def test_the_scaler_goes_on_where_it_was(with_scaler):
    learner, scaler = with_scaler()
    for step in range(3):
        learner.step(*_batch(seed=step))
    # It grew after two steps, and counts towards the next time.
    assert scaler.get_scale() == 2048.0
    # A file would share no tensor with what goes on.
    state = deepcopy(learner.state_dict())
    assert state["scaler"]["_growth_tracker"] == 1
    other, fresh = with_scaler()
    other.load_state_dict(state)
    assert fresh.state_dict() == scaler.state_dict()
    for one in (learner, other):
        one.step(*_batch(seed=3))
    assert fresh.get_scale() == scaler.get_scale() == 4096.0
    assert all(
        torch.equal(one, two)
        for one, two in zip(_weights(learner).values(), _weights(other).values(), strict=True)
    )


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_images_and_weights_lie_as_the_device_wants(layout, monkeypatch):
    monkeypatch.setattr(module, "memory_format", lambda device: layout)
    learner = _learner()
    learner.start_epoch(1)
    seen = []
    convolution = next(p for p in learner.network.modules() if isinstance(p, torch.nn.Conv2d))
    convolution.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0]))
    learner.step(*_batch())
    for tensor in (seen[0], convolution.weight):
        assert tensor.is_contiguous(memory_format=layout)
