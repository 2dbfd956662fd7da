"""HTML pages of one file, which holds their images."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from carvision.data.photo.decode import thumbnail
from carvision.errors import DataError


def rendered(template: str, **values: Any) -> str:
    """Render a page; text from the data is escaped."""
    environment = Environment(
        loader=PackageLoader("carvision.reporting"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template).render(**values)


def plot_uri(figure: Figure) -> str:
    """Encode a plot as the source of an image."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _data_uri(buffer.getvalue(), "png")


def thumbnail_uri(path: Path, side: int) -> str:
    """Encode a small copy of a photo; empty if the photo is gone, so that the page is written."""
    try:
        return _data_uri(thumbnail(path, side), "jpeg")
    except DataError:
        return ""


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
