"""Removes secrets from text that is printed or logged: passwords, tokens and keys.

Error messages quote addresses with passwords, so all text that leaves the program passes here.
"""

import os
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, unquote, urlsplit

HIDDEN: Final = "***"

#: ``scheme://user:password@``. An ``@`` after the first slash belongs to the path. All lengths are
#: limited: without limits, a text of 100,000 characters may take a minute.
_SCHEME: Final = r"[a-z][a-z0-9+.\-]{0,30}://"
_LOGIN = re.compile(rf"(\b{_SCHEME})[^\s/?#]{{0,4000}}@", re.IGNORECASE)
#: SQLAlchemy allows slashes and question marks in a database's password.
_DATABASE_LOGIN = re.compile(
    rf"(\b(?!https?:){_SCHEME})[^\s:/@]{{0,300}}:[^\s@]{{0,4000}}@", re.IGNORECASE
)
#: ``?token=…``, and what signed addresses of object stores hold.
_QUERY = re.compile(
    r"([?&;][\w.\-]{0,60}(?:token|passw|pwd|secret|key|sig|credential|auth)[\w.\-]{0,60}=)"
    r"[^&;\s#'\"<>]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(authorization['\"]?\s*[:=]\s*b?['\"]?\w+ )[^\s'\",]+", re.IGNORECASE)

#: Environment variables that are secrets themselves.
_SECRETS = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "DATABRICKS_TOKEN",
    "HF_TOKEN",
    "WANDB_API_KEY",
)
#: Environment variables that hold an address with a password in it.
_ADDRESSES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_S3_ENDPOINT_URL",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)
#: Letters. A shorter password may be a common word, so it is hidden in addresses only.
_SHORTEST = 5


def redacted(text: str) -> str:
    """Return ``text`` without the passwords, tokens and keys in it."""
    text = _DATABASE_LOGIN.sub(rf"\1{HIDDEN}@", text)
    text = _LOGIN.sub(rf"\1{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    for secret in _known_secrets():
        for spelling in {secret, quote(secret, safe=""), quote(secret), unquote(secret)}:
            text = text.replace(spelling, HIDDEN)
    return text


def _known_secrets() -> Iterator[str]:
    """The secrets of this process's environment that are too long to be a common word."""
    named = [os.environ.get(name, "") for name in _SECRETS]
    in_addresses = [
        _password_of(os.environ.get(spelling, ""))
        for name in _ADDRESSES
        for spelling in (name, name.upper())
    ]
    for secret in {*named, *in_addresses}:
        if len(secret) >= _SHORTEST and not secret.isdecimal():
            yield secret


def _password_of(address: str) -> str:
    try:
        return urlsplit(address).password or ""
    except ValueError:
        return ""
