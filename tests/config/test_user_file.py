"""``config=FILE``: a file is somebody else's, and may hold anything."""

import os
import time
from pathlib import Path

import pytest

from carvision.config import load_config
from carvision.errors import ConfigError

_BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + below] * 10)}]\n"
    for below, name in zip("abcdefghi", "bcdefghij", strict=True)
)
_MERGED = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join(['*' + below] * 10)}]}}\n"
    for below, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (_BOMB.encode(), "more than 100,000 values"),
        (_MERGED.encode(), "more than 100,000 values"),
        (b"a: &a [*a]", "refers to itself"),
        (b"a: &a {b: *a}", "refers to itself"),
        (b"a: " + b"[" * 2_000, "nested too deep"),
        (b"a: " + b"[" * 100 + b"]" * 100, "nested too deep"),
        (b"".join(b" " * level + b"a:\n" for level in range(400)), "nested too deep"),
        (b"seed: " + b"9" * 10_000, "cannot be read"),
        (b"device: " + b"x" * 300_000, r"'xxx.*characters"),
        (b"? " + b"k" * 300_000 + b"\n: 1", "unknown key 'kkk"),
        (b"seed: 1\n" + b"#" * 2**20, "more than 1 MiB"),
        (bytes(range(256)), "UTF-8"),
        ("seed: 1".encode("utf-16"), "UTF-8"),
        ("data: {same_classes: [[라브4, 라브]]}".encode("cp949"), "UTF-8"),
        (b"seed: \0", "not valid YAML"),
        (b"seed: !!bool xyz", "cannot be read"),
        (b"seed: !!timestamp abc", "cannot be read"),
        (b"seed: !!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"1: 2", "Keys should be strings"),
        (b"? [a, b]\n: 1", "unhashable key"),
        (b"train: {[a, b]: 1}", "unhashable key"),
        (b"? {a: 1}\n: {b: 2}", "unhashable key"),
        (b"train: {epochs: yes}", "train.epochs: expected a number, got true"),
        (b"train: {" + b",".join(b"k%d: 1" % i for i in range(500)) + b"}", "and 490 more"),
    ],
)
def test_a_file_that_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(content)
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=told) as error:
        load_config(config=str(path))
    assert len(str(error.value)) < 1_000 + len(str(path))
    assert time.monotonic() - begun < 10


def test_a_key_that_stands_twice_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("train: {epochs: 3}\ntrain: {batch_size: 4}")
    train = load_config(config=str(path)).train
    assert (train.epochs, train.batch_size) == (load_config().train.epochs, 4)
    assert "the key 'train' stands twice" in caplog.text


@pytest.mark.parametrize("kind", ["absent", "folder", "pipe", "sparse", "device"])
def test_what_is_no_file_of_settings(kind: str, tmp_path: Path) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(2**32)
    with pytest.raises(ConfigError, match=f"config={path}: "):
        load_config(config=str(path))


def test_what_is_sound_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = (
        "\ufeffrecipe: plan\n"
        "train: &own {epochs: 3}\n"
        "data: {cache: 'off', folds: 010}\n"
        "tracking: {wandb: off}\n"
        "optimizer: {<<: {lr: 1e-3}, momentum: 0.5}\n"
    )
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    config = load_config(config=" '~/my.yaml'")
    assert (config.recipe, config.train.epochs, config.data.folds) == ("plan", 3, 10)
    assert (config.data.cache, config.tracking.wandb) == (False, False)
    assert (config.optimizer.lr, config.optimizer.momentum) == (0.001, 0.5)
