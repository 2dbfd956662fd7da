"""The page of a prepare run holds what a reader looks for, whole, and escapes what is not ours."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from carvision.contracts import ClassMap
from carvision.data.folder.findings import Finding, Findings
from carvision.data.manifest import Manifest
from carvision.reporting.data_page import data_page

LABELS = ["라브4", "a <b>"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


def _manifest(**columns):
    ids = [f"{i:02d}.png" for i in range(12)]
    values = {
        "image_id": ids,
        "path": ids,
        "label": [LABELS[i % 2] for i in range(12)],
        "class_index": [i % 2 for i in range(12)],
        "format": "PNG",
        "mode": "RGB",
        "orientation": 1,
        "width": 60,
        "height": 40,
        "content_hash": ids,
        "perceptual_hash": "0" * 16,
        "group": ids,
        "fold": [1 + i // 2 % 2 for i in range(12)],
        "excluded": "",
    }
    return Manifest(pd.DataFrame(values | columns), ClassMap.of(LABELS, ()))


def _images(page):
    uris = re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    return [Image.open(BytesIO(b64decode(uri))) for uri in uris]


def test_plain_data(root):
    manifest = _manifest()
    page = data_page("cars & more", manifest, root)
    assert manifest.fingerprint in page
    assert "cars &amp; more" in page
    assert "라브4" in page
    assert "a &lt;b&gt;" in page and "a <b>" not in page
    assert "None: every photo can be read" in page
    assert "None: no two photos are equal" in page
    # Two plots, and nothing that has to be fetched.
    assert [image.format for image in _images(page)] == ["PNG", "PNG"]
    assert "http" not in page
    assert 'src="' not in re.sub(r'src="data:[^"]+"', "", page)


def test_what_was_left_out_and_why(root):
    page = data_page("cars", _manifest(excluded=["unreadable: <cut>", *[""] * 11]), root)
    assert "00.png</td><td>unreadable: &lt;cut&gt;" in page


def test_copies_with_thumbnails_and_conflicts_first(root):
    group = [f"{i:02d}.png" for i in range(12)]
    group[4] = group[2]
    group[9] = group[8]
    fold = [1 + i // 2 % 2 for i in range(12)]
    fold[8] = fold[9] = 0
    page = data_page("cars", _manifest(group=group, fold=fold), root)
    assert "2 groups of photos" in page
    names = re.findall(r'<figcaption( class="conflict")?>[^<]*(?:&lt;[^<]*)?<br>(\d\d\.png)', page)
    assert names == [
        (' class="conflict"', "08.png"),
        (' class="conflict"', "09.png"),
        ("", "02.png"),
        ("", "04.png"),
    ]
    thumbnails = [image for image in _images(page) if image.format == "JPEG"]
    assert [image.size for image in thumbnails] == [(60, 40)] * 4


def test_a_large_group_is_cut_short(root):
    page = data_page("cars", _manifest(group="00.png"), root)
    assert len(re.findall("<figure>", page)) == 6
    assert "and 6 more" in page


def test_a_photo_that_went_away_costs_no_page(tmp_path):
    page = data_page("cars", _manifest(group="00.png"), tmp_path)
    assert page.count("<figure>gone") == 6


def test_formats_modes_and_turned_photos_are_counted(root):
    page = data_page("cars", _manifest(orientation=[6, 8, *[1] * 10]), root)
    assert 'PNG, RGB</td><td class="number">12' in page
    assert 'turned by its EXIF orientation</td><td class="number">2' in page


def test_folders_that_count_as_one_are_one_class(root):
    labels = [["a", "b", "c"][i % 3] for i in range(12)]
    classes = ClassMap.of(labels, [["c", "a", "absent"]])
    manifest = _manifest(label=labels, class_index=[classes.index_by_folder()[x] for x in labels])
    page = data_page("cars", Manifest(manifest.frame, classes), root)
    assert "<th>classes</th><td>2</td>" in page
    assert "<th>class folders</th><td>3</td>" in page
    assert 'b</td><td class="number">4' in page
    assert 'c (c: 4, a: 4, absent: 0)</td><td class="number">8' in page
    assert page.count('class="bar"') == 2


def test_what_was_passed_over(root):
    findings = Findings()
    for i in range(300):
        findings.add(Finding.HIDDEN, f".<{i:03d}>")
    page = data_page("cars", _manifest(), root, findings)
    assert "photos below names that begin with a dot: .&lt;000&gt; (1)" in page
    assert ".&lt;199&gt; (1) and 100 more" in page
    assert "Not used" not in data_page("cars", _manifest(), root, Findings())
