"""The ensemble's specification: weights that sum to one, over views that exist."""

import pytest
from pydantic import ValidationError

from carvision.contracts import VIEWS, EnsembleSpec, Member, Score
from carvision.errors import PredictionsError


def _member(preset="vit_base", **weights):
    return Member(
        preset=preset,
        registered_model=f"carvision-{preset}",
        version=3,
        weights=weights,
        temperatures={view: 1.0 + i for i, view in enumerate(weights)},
    )


def _spec(*members):
    return EnsembleSpec(
        members=members,
        mixing="arithmetic",
        class_names=("K5", "RAV4_2016_2018"),
        class_folders=(("K5",), ("RAV4_2016_2018", "라브4_4세대_2013_2018")),
        score=Score(log_loss=0.1, data="0123456789abcdef", folds=(1, 2), images=7),
    )


TWO = (
    _member("vit_base", original=0.5, hflip=0.1, rot90=0.0),
    _member("swin_large", hflip=0.3, vflip=0.1),
)


def test_json_round_trip():
    spec = _spec(*TWO)
    assert EnsembleSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("weights", [[0.4, 0.5], [0.6, 0.5], [0.0, 0.0]])
def test_weights_sum_to_one(weights):
    with pytest.raises(ValidationError, match="not to 1"):
        _spec(*(_member(original=weight) for weight in weights))


def test_a_tenth_ten_times_is_one():
    assert len(_spec(*(_member(original=0.1) for _ in range(10))).members) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"rot45": 1.0}, "temperatures": {"rot45": 1.0}}, "unknown views .*rot45"),
        ({"temperatures": {}}, "different views"),
        ({"temperatures": {"original": 1.0, "hflip": 1.0}}, "different views"),
        ({"temperatures": {"original": 0.0}}, "greater than 0"),
        ({"weights": {"original": -0.1}}, "greater than or equal to 0"),
        ({"weights": {"original": float("nan")}}, "finite"),
        ({"wieght": 1}, "not permitted"),
    ],
)
def test_a_member_refuses(change, message):
    values = _member(original=1.0).model_dump() | change
    with pytest.raises(ValidationError, match=message):
        Member.model_validate(values)


def test_a_specification_needs_members():
    with pytest.raises(ValidationError, match="members"):
        _spec()


def test_active_views_are_in_the_order_of_all_views():
    member = _member(rot90=0.2, hflip=0.0, original=0.8)
    assert member.active_views == ("original", "rot90")
    assert list(member.active_temperatures.items()) == [("original", 3.0), ("rot90", 1.0)]


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        (VIEWS, [{"original": 0.5, "hflip": 0.1}, {"hflip": 0.3, "vflip": 0.1}]),
        (VIEWS[:2], [{"original": 5 / 9, "hflip": 1 / 9}, {"hflip": 3 / 9}]),
        (("hflip", "original"), [{"original": 5 / 9, "hflip": 1 / 9}, {"hflip": 3 / 9}]),
        # A member without weight on the views is left out.
        (("original",), [{"original": 1.0}]),
        (("vflip", "rot90"), [{"vflip": 1.0}]),
    ],
)
def test_with_views(views, expected):
    spec = _spec(*TWO)
    narrowed = spec.with_views(views)
    assert [member.weights for member in narrowed.members] == [
        pytest.approx(weights) for weights in expected
    ]
    # The result stands all checks, and temperatures stay with their views.
    assert EnsembleSpec.model_validate(narrowed.model_dump()) == narrowed
    temperatures = {member.preset: member.temperatures for member in spec.members}
    for member in narrowed.members:
        for view, temperature in member.temperatures.items():
            assert temperature == temperatures[member.preset][view]
    assert spec == _spec(*TWO)


def test_with_views_that_have_no_weight():
    with pytest.raises(PredictionsError, match="no weight to the views"):
        _spec(*TWO).with_views(("hvflip", "rot90"))


def test_classes():
    classes = _spec(*TWO).classes
    assert classes.names == ("K5", "RAV4_2016_2018")
    assert classes.index_by_folder()["라브4_4세대_2013_2018"] == 1


def test_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        _spec(*TWO).mixing = "geometric"
