"""Recognise archives by the first bytes of their files."""

from pathlib import Path

_ZIP = b"PK\3\4"
#: https://en.wikipedia.org/wiki/List_of_file_signatures
_ARCHIVES = {
    b"\x1f\x8b": "a gzip archive (.gz, .tar.gz)",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"EGGA": "an ALZip archive (.egg)",
    b"ALZ\1": "an ALZip archive (.alz)",
    _ZIP: "a zip",
    b"PK\5\6": "a zip",
}
_TAR = (257, b"ustar")


def archive_kind(path: Path) -> str | None:
    """Return the kind of archive that a file is; None where it is none.

    Raises:
        OSError: the file cannot be read.
    """
    head = _head(path)
    if head[_TAR[0] :].startswith(_TAR[1]):
        return "a tar archive"
    return next((kind for start, kind in _ARCHIVES.items() if head.startswith(start)), None)


def why_no_zip(path: Path) -> str:
    """Say why ``path`` cannot be opened as a zip, and what to do.

    Raises:
        OSError: the file cannot be read.
    """
    head = _head(path)
    if not head:
        return "it is empty: download it again"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return (
            "it is a web page (of an error or a login, perhaps): open it in a browser, "
            "and download the archive again"
        )
    kind = archive_kind(path)
    if kind == "a zip":
        return "its end is missing or damaged (a download that was cut short?): download it again"
    return f"it is {kind}: unpack it by hand and give its folder" if kind else "it is no zip"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)
