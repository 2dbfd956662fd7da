"""Sums of stored files: whatever changes in one of them is named."""

import json
from pathlib import Path

import pytest

from carvision.contracts.checksums import damage, damage_below, files_below, sums_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "predictions").mkdir()
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "predictions/한국.npy").write_bytes(bytes(range(256)) * 9)
    return tmp_path


def test_what_is_as_it_was_is_fine(folder: Path) -> None:
    stored = sums_of(folder)
    assert damage_below(folder, stored) is None
    assert damage(files_below(folder), stored) is None
    assert list(json.loads(stored)) == ["model.json", "predictions/한국.npy"]


@pytest.mark.parametrize("place", [0, 1000, -1])
@pytest.mark.parametrize("name", ["model.json", "predictions/한국.npy"])
def test_a_flipped_byte_is_noticed(folder: Path, name: str, place: int) -> None:
    stored = sums_of(folder)
    content = bytearray((folder / name).read_bytes())
    content[place if abs(place) < len(content) else 1] ^= 1
    (folder / name).write_bytes(content)
    found = damage_below(folder, stored)
    assert found is not None and found.startswith(f"{name} is not the file that was stored")


@pytest.mark.parametrize("content", [b"", b"{}\n", b"{ }"])
def test_another_length_is_noticed(folder: Path, content: bytes) -> None:
    stored = sums_of(folder)
    (folder / "model.json").write_bytes(content)
    assert "model.json is not the file" in str(damage_below(folder, stored))


def test_a_file_that_is_missing_or_new_is_noticed(folder: Path) -> None:
    stored = sums_of(folder)
    (folder / "model.json").rename(folder / "other.json")
    assert damage_below(folder, stored) == "model.json is missing"
    (folder / "model.json").write_text("{}")
    assert damage_below(folder, stored) == "other.json was not among the files that were stored"


@pytest.mark.parametrize("stored", ["", "null", "[]", "3", "{", '"x"', "[" * 100_000])
def test_sums_that_are_none_are_damage(folder: Path, stored: str) -> None:
    assert "holds no sums of files" in str(damage_below(folder, stored))


@pytest.mark.parametrize("value", [None, 3, "", {}, [], "0" * 64])
def test_a_sum_of_another_kind_is_damage(folder: Path, value: object) -> None:
    stored = json.dumps(json.loads(sums_of(folder)) | {"model.json": value})
    assert "model.json is not the file" in str(damage_below(folder, stored))


def test_a_name_in_the_sums_opens_no_file(folder: Path) -> None:
    stored = json.dumps(json.loads(sums_of(folder)) | {"../../../dev/zero": "0"})
    assert damage_below(folder, stored) == "../../../dev/zero is missing"
