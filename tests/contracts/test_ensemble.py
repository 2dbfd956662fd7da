"""The ensemble's specification: weights that sum to one, over views that exist."""

import json

import pytest
from pydantic import ValidationError

from carvision.contracts import VIEWS, EnsembleSpec, Member, Score, read_spec
from carvision.errors import PredictionsError, TrackingError
from carvision.files import write_json
from tests.hostile_names import HOSTILE


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


def test_weights_and_temperatures_of_active_views_stand_in_the_order_of_views():
    spec = _spec(_member(rot90=0.1, original=0.4, vflip=0.0), _member(hflip=0.5))
    assert spec.active_weights == [(0.4, 0.1), (0.5,)]
    assert spec.members[0].active_views == ("original", "rot90")
    assert spec.members[0].active_temperatures == {"original": 2.0, "rot90": 1.0}


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


def _stored(change):
    """What ``ensemble.json`` holds, with values changed by their path: members.0.preset."""
    content = _spec(*TWO).model_dump(mode="json")
    for path, value in change.items():
        *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
        inner = content
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return content


_RUN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"members.0.fold_set": "0123456789abcdef", "members.0.fold_runs": [_RUN]},
        {"score": None},
        {"members.0.preset": "swin_large@384.v2"},
        {"class_names": ["CON", "a/b"], "class_folders": [["CON"], ["a/b", "=1+1"]]},
    ],
)
def test_what_is_an_ensemble_is_read(change, tmp_path):
    write_json(tmp_path / "ensemble.json", _stored(change))
    spec = read_spec(tmp_path / "ensemble.json")
    assert spec.model_dump(mode="json") == _stored(change)


def test_one_from_before_members_had_an_identity_is_read(tmp_path):
    content = _stored({})
    for member in content["members"]:
        del member["fold_set"], member["fold_runs"]
    write_json(tmp_path / "ensemble.json", content)
    spec = read_spec(tmp_path / "ensemble.json")
    assert not spec.pinned
    assert spec == spec.without_pins == _spec(*TWO)


@pytest.mark.parametrize("key", ["preset", "registered_model", "fold_set"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_leads_elsewhere_is_refused(key, name, tmp_path):
    (tmp_path / "ensemble.json").write_text(json.dumps(_stored({f"members.1.{key}": name})))
    with pytest.raises(TrackingError, match=rf"describes no ensemble: members\.1\.{key}"):
        read_spec(tmp_path / "ensemble.json")


@pytest.mark.parametrize(
    "change",
    [
        {"members.0.preset": None},
        {"members.0.preset": ["x"]},
        {"members.0.preset": "swin_large"},
        {"members.0.preset": "Swin_Large"},
        {"members.0.version": 0},
        {"members.0.version": -1},
        {"members.0.version": True},
        {"members.0.version": 1.5},
        {"members.0.version": "../1"},
        {"members.0.version": 10**30},
        {"members.0.fold_runs": ["../../x"]},
        {"members.0.fold_runs": [_RUN.upper()]},
        {"members.0.weights": {"original": float("nan")}},
        {"members.0.weights": {"original": float("inf")}},
        {"members.0.weights": {"../x": 0.5}},
        {"members.0.temperatures": {"original": 1e-320, "hflip": 1, "rot90": 1}},
        {"members.0.temperatures": {"original": 1e300, "hflip": 1, "rot90": 1}},
        {"members": []},
        {"mixing": "__import__('os')"},
        {"class_names": []},
        {"class_names": [], "class_folders": []},
        {"class_names": ["K5"]},
        {"class_names": ["K5", "K5"]},
        {"class_names": ["K5", ""]},
        {"class_names": ["K5", 7]},
        {"class_folders": [["K5"], []]},
        {"class_folders": [["K5"], ["K5"]]},
        {"class_folders": ["K5", "RAV4_2016_2018"]},
        {"score.data": "a/b"},
        {"score.data": "'; drop"},
        {"score.folds": [0]},
        {"score.images": -1},
        {"command": "rm"},
    ],
    ids=str,
)
def test_what_is_no_ensemble_is_refused(change, tmp_path):
    (tmp_path / "ensemble.json").write_text(json.dumps(_stored(change)))
    with pytest.raises(TrackingError, match=r"ensemble\.json"):
        read_spec(tmp_path / "ensemble.json")


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"[" * 200_000, b'{"members": ' * 50_000],
    ids=["missing", "empty", "torn", "list", "null", "number", "bytes", "nested", "nested objects"],
)
def test_a_file_that_is_damaged_or_missing_is_one_sentence(content, tmp_path):
    if content is not None:
        (tmp_path / "ensemble.json").write_bytes(content)
    with pytest.raises(TrackingError, match=r"ensemble\.json (cannot be read|describes no)"):
        read_spec(tmp_path / "ensemble.json")


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "ensemble.json").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(TrackingError, match=r"more than 67,108,864 bytes"):
        read_spec(tmp_path / "ensemble.json")
