"""The five views, against numpy's own flips and turns."""

import numpy as np
import pytest
import torch

from carvision.contracts import VIEWS
from carvision.data.tta_views import apply_view

EXPECTED = {
    "original": lambda image: image,
    "hflip": lambda image: image[:, :, ::-1],
    "vflip": lambda image: image[:, ::-1, :],
    "hvflip": lambda image: image[:, ::-1, ::-1],
    "rot90": lambda image: np.rot90(image, 1, axes=(1, 2)),
}


def test_names_and_order():
    assert VIEWS == ("original", "hflip", "vflip", "hvflip", "rot90")
    assert list(EXPECTED) == list(VIEWS)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_view(view, dtype):
    images = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).to(dtype)
    before = images.clone()
    seen = apply_view(images, view)
    assert seen.dtype == dtype
    for image, expected in zip(seen.numpy(), images.numpy(), strict=True):
        np.testing.assert_array_equal(image, EXPECTED[view](expected))
    assert torch.equal(images, before)


def test_rot90_is_counter_clockwise():
    # What was at the upper right comes to the upper left.
    image = torch.tensor([[[[1, 2], [3, 4]]]])
    assert apply_view(image, "rot90").tolist() == [[[[2, 4], [1, 3]]]]


@pytest.mark.parametrize("view", ["rot180", "", "HFLIP"])
def test_an_unknown_view(view):
    with pytest.raises(KeyError, match="unknown view"):
        apply_view(torch.zeros(1, 3, 2, 2), view)
