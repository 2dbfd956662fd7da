"""Specifications that differ by rounding are one ensemble; by anything else they are not."""

from typing import Any

import pytest

from carvision.contracts import EnsembleSpec, same_ensemble

_MEMBER: dict[str, Any] = {
    "preset": "efficientnet_lite0",
    "registered_model": "carvision-efficientnet_lite0",
    "version": 1,
    "weights": {"original": 0.7, "hflip": 0.3, "vflip": 0.0},
    "temperatures": {"original": 0.9, "hflip": 0.9, "vflip": 0.9},
}
_SPEC: dict[str, Any] = {
    "members": [_MEMBER],
    "mixing": "arithmetic",
    "class_names": ["a", "b"],
    "class_folders": [["a"], ["b"]],
    "score": {
        "log_loss": 0.4,
        "nested": 0.5,
        "low": 0.4,
        "high": 0.6,
        "data": "d",
        "folds": [1, 2],
        "images": 10,
    },
}


def _changed(**changes: Any) -> EnsembleSpec:
    spec = {**_SPEC, "score": dict(_SPEC["score"])}
    spec["members"] = [{**_MEMBER, **{k: v for k, v in changes.items() if k in _MEMBER}}]
    spec["score"] |= {k: v for k, v in changes.items() if k in _SPEC["score"]}
    return EnsembleSpec.model_validate({**spec, **{k: v for k, v in changes.items() if k in _SPEC}})


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"weights": {"original": 0.7 - 1e-15, "hflip": 0.3 + 1e-15, "vflip": 0.0}}, True),
        ({"weights": {"original": 0.7 - 1e-12, "hflip": 0.3, "vflip": 1e-12}}, True),
        ({"temperatures": {"original": 0.9 + 1e-13, "hflip": 0.9, "vflip": 0.9}}, True),
        ({"nested": 0.5 + 1e-15, "low": 0.4 - 1e-15, "high": 0.6 + 1e-15}, True),
        ({"weights": {"original": 0.7 - 1e-6, "hflip": 0.3 + 1e-6, "vflip": 0.0}}, False),
        (
            {
                "weights": {"original": 0.7, "hflip": 0.3},
                "temperatures": {"original": 0.9, "hflip": 0.9},
            },
            False,
        ),
        ({"temperatures": {"original": 0.9001, "hflip": 0.9, "vflip": 0.9}}, False),
        ({"nested": 0.500001}, False),
        ({"nested": None}, False),
        ({"images": 11}, False),
        ({"data": "e"}, False),
        ({"version": 2}, False),
        ({"mixing": "geometric"}, False),
        (
            {
                "members": [
                    _MEMBER | {"weights": {"original": 0.5}, "temperatures": {"original": 1.0}}
                ]
                * 2
            },
            False,
        ),
        ({"class_names": ["b", "a"], "class_folders": [["b"], ["a"]]}, False),
    ],
)
def test_rounding_alone_makes_no_other_ensemble(changes: dict[str, Any], same: bool) -> None:
    first, second = _changed(), _changed(**changes)
    assert same_ensemble(first, second) is same
    assert same_ensemble(second, first) is same
