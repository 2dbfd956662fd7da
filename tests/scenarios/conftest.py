"""Data and a registered model from the tests of training and serving."""

from tests.inference.conftest import bundle
from tests.serving.conftest import saved
from tests.training.conftest import data

__all__ = ["bundle", "data", "saved"]
