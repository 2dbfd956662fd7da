"""The text of ``set=``: what a user types in a shell, read by each setting's own type."""

from pathlib import Path

import pytest

from carvision.config import load_config
from carvision.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("[[NO,DE]]", [["NO", "DE"]]),
        ("[[no, Yes], [on, OFF], [true, n]]", [["no", "Yes"], ["on", "OFF"], ["true", "n"]]),
        ("[[001,1],[1e3,0x10]]", [["001", "1"], ["1e3", "0x10"]]),
        ("[[1_0,-5],[.5,12:30]]", [["1_0", "-5"], [".5", "12:30"]]),
        ("[[null,~],[2020-01-01,.inf]]", [["null", "~"], ["2020-01-01", ".inf"]]),
        ("[[K5 hybrid, K5]]", [["K5 hybrid", "K5"]]),
        ('[["a, b",c]]', [["a, b", "c"]]),
        ("[['[x]',y z]]", [["[x]", "y z"]]),
        ("[[O'Brien,b]]", [["O'Brien", "b"]]),
        ("[[a,b=c]]", [["a", "b=c"]]),
        ("'[[NO, DE]]'", [["NO", "DE"]]),
        ("\"[['a, b',c]]\"", [["a, b", "c"]]),
    ],
)
def test_a_class_keeps_its_name(text: str, groups: list[list[str]], tmp_path: Path) -> None:
    expected = tuple(tuple(group) for group in groups)
    config = load_config(overrides=f"seed=3 data.same_classes={text} train.epochs=2")
    assert config.data.same_classes == expected
    assert (config.seed, config.train.epochs) == (3, 2)
    if text.startswith("[["):
        path = tmp_path / "my.yaml"
        path.write_text(f"data:\n  same_classes: {text}\n", encoding="utf-8")
        assert load_config(config=str(path)).data.same_classes == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("w.pth", "w.pth"),
        ("001", "001"),
        ("NO", "NO"),
        ("'/my dir/w.pth'", "/my dir/w.pth"),
        ('"/my dir/w.pth"', "/my dir/w.pth"),
        ("/my\\ dir/w.pth", "/my dir/w.pth"),
        ("C:\\models\\w.pth", "C:\\models\\w.pth"),
        ('"C:\\my models\\w.pth"', "C:\\my models\\w.pth"),
        ("/a,b/c=d/w.pth", "/a,b/c=d/w.pth"),
        ("/a[1/w.pth", "/a[1/w.pth"),
        ("*.pth", "*.pth"),
        ("null", None),
        ("", None),
    ],
)
def test_a_path_stays_as_it_is_typed(text: str, expected: str | None) -> None:
    config = load_config(overrides=f"model.weights={text} train.epochs=2")
    assert config.model.weights == (None if expected is None else Path(expected))
    assert config.train.epochs == 2


def test_the_home_folder_in_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/users/kim")
    path = tmp_path / "my.yaml"
    path.write_text("model: {weights: ~/w.pth}", encoding="utf-8")
    expected = Path("/users/kim/w.pth")
    assert load_config(overrides="model.weights=~/w.pth").model.weights == expected
    assert load_config(config=str(path)).model.weights == expected


@pytest.mark.parametrize(
    ("text", "section", "key", "expected"),
    [
        ("tracking.wandb=off", "tracking", "wandb", False),
        ("tracking.wandb='\"off\"'", "tracking", "wandb", False),
        ("tracking.wandb=False", "tracking", "wandb", False),
        ("data.cache=off", "data", "cache", False),
        ("data.cache=no", "data", "cache", False),
        ("data.cache=0", "data", "cache", False),
        ("data.cache=640", "data", "cache", 640),
        ("optimizer.lr=1e-3", "optimizer", "lr", 0.001),
        ("optimizer.lr=1E-3", "optimizer", "lr", 0.001),
        ("optimizer.lr=.001", "optimizer", "lr", 0.001),
        ("train.epochs=010", "train", "epochs", 10),
        ("train.epochs=1_0", "train", "epochs", 10),
        ("train.epochs=0x10", "train", "epochs", 16),
        ("train.epochs=3.0", "train", "epochs", 3),
        ("model.pretrained=no", "model", "pretrained", False),
        ("model.pretrained=yes", "model", "pretrained", True),
        ("train.ema_decay=~", "train", "ema_decay", None),
        ("loader.start_method=null", "loader", "start_method", None),
        ("loader.start_method=spawn", "loader", "start_method", "spawn"),
    ],
)
def test_words_and_numbers(text: str, section: str, key: str, expected: object) -> None:
    found = getattr(getattr(load_config(overrides=text), section), key)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ("train.epochs=1,train.batch_size=2", 'set="train.epochs=1 train.batch_size=2"'),
        ("train.epochs=1; train.batch_size=2", 'set="train.epochs=1 train.batch_size=2"'),
        ("loss.name=focal,epochs=2", 'set="loss.name=focal epochs=2"'),
        ("train.epochs=1, seed=2", 'set="train.epochs=1 seed=2"'),
        ("a=1,b=2", 'set="a=1 b=2"'),
        ("data.same_classes=hai,seed=1", 'set="data.same_classes=hai seed=1"'),
        (
            "augmentation.crop_scale=[0.5,1],seed=1",
            'set="augmentation.crop_scale=[0.5,1] seed=1"',
        ),
        ("model.weights=w.pth,train.epochs=3", 'set="model.weights=w.pth train.epochs=3"'),
    ],
)
def test_settings_are_separated_by_spaces(text: str, better: str) -> None:
    with pytest.raises(ConfigError, match="separated by spaces") as error:
        load_config(overrides=text)
    assert str(error.value).endswith(better)


@pytest.mark.parametrize(
    "text",
    ["“train.epochs=3”", "train.epochs＝3", "train.epochs =3", "train.epochs= 3", "=", "tr@in=1"],
)
def test_other_signs_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ConfigError, match="without spaces around the =, and straight quotes"):
        load_config(overrides=text)


@pytest.mark.parametrize(
    "text",
    [
        "seed=" + "9" * 5_000,
        "data.same_classes=" + "[" * 3_000,
        "x" * 5_000 + "=1",
        "loss.name=" + "y" * 5_000,
        "train.epochs=[" + "z" * 5_000,
        "stray" * 1_000,
        "recipe=" + "r" * 5_000,
        "train.epochs=1,seed=" + "9" * 5_000,
    ],
)
def test_what_is_long_is_not_printed_whole(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(overrides=text)
    assert len(str(error.value)) < 600
