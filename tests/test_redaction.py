"""No password, token or key in text that leaves the program."""

from time import process_time

import pytest

from carvision.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://kim:s3cret@host:5000/a", "http://***@host:5000/a"),
        ("https://s3cret@host", "https://***@host"),
        ("HTTP://kim:s3%20cret@host", "HTTP://***@host"),
        ("http://kim:s3cret@[::1]:5000/x@y", "http://***@[::1]:5000/x@y"),
        ("at http://a:s3cret@h, then http://b:s3cret@i.", "at http://***@h, then http://***@i."),
        ("postgresql://kim:s3cret@db/mlflow", "postgresql://***@db/mlflow"),
        ("mysql+pymysql://kim:s3/cr?e#t@db/m", "mysql+pymysql://***@db/m"),
        ("s3://key:s3cret@bucket/x", "s3://***@bucket/x"),
        ("http://host/?token=s3cret&run=1", "http://host/?token=***&run=1"),
        ("/api?a=1&X-Amz-Signature=s3cret", "/api?a=1&X-Amz-Signature=***"),
        ("{'Authorization': 'Basic a2ltOnMzY3JldA=='}", "{'Authorization': 'Basic ***'}"),
        ("Authorization: Bearer s3cret", "Authorization: Bearer ***"),
    ],
)
def test_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://127.0.0.1:5000/#/experiments/1/runs/2",
        "http://host:5000/a@b",
        "models:/carvision-ensemble@champion",
        "sqlite:///runs/mlflow.db",
        "train/K5 @ Hybrid/a=b.jpg",
        "set=train.epochs=3 token",
    ],
)
def test_left_as_it_is(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "s3cr/t+"),
        ("MLFLOW_TRACKING_TOKEN", "s3cr/t+"),
        ("AWS_SECRET_ACCESS_KEY", "s3cr/t+"),
        ("MLFLOW_TRACKING_URI", "http://kim:s3cr%2Ft%2B@host"),
        ("HTTPS_PROXY", "http://kim:s3cr%2Ft%2B@proxy"),
    ],
)
def test_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert redacted("refused s3cr/t+, s3cr%2Ft%2B") == "refused ***, ***"


def test_a_short_password_is_no_word_to_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://kim:12345678@host")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "at")
    assert redacted("12345678 photos at http://kim:12345678@host") == (
        "12345678 photos at http://***@host"
    )


@pytest.mark.parametrize(
    "part", ["a-", "a.b+", "?key", "&authkey", "a://b:", "http://a:", "authorization: a ", "/x@"]
)
def test_long_text_takes_no_longer_than_its_length_warrants(part: str) -> None:
    begun = process_time()
    redacted(part * (100_000 // len(part)))
    assert process_time() - begun < 5
