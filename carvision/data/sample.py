"""The embedded sample: scikit-learn's 1,797 scanned digits in the competition's layout.

It is small enough for a CPU, and its scores mean something: a support vector machine reaches 99 %.
Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from carvision.files import one_at_a_time, replacing_folder

_TEST_SHARE = 0.2
_SIDE = 64
_NAMES = [f"digit_{digit}" for digit in range(10)]


def write_sample(folder: Path) -> Path:
    """Write the sample to ``folder`` unless it exists; return ``folder``.

    Two processes do not write it at once: the photos' times identify prepared data, so the second
    process waits and uses the first one's files.
    """
    if not folder.exists():
        with one_at_a_time(folder.with_name(f".{folder.name}.lock")):
            if not folder.exists():
                with replacing_folder(folder) as temporary:
                    _write(temporary)
    return folder


def _write(root: Path) -> None:
    # Imported here: scikit-learn takes a second to import, and only the first run needs it.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)),
        test_size=_TEST_SHARE,
        stratify=digits.target,
        random_state=0,
    )
    for name in _NAMES:
        (root / "train" / name).mkdir(parents=True)
    (root / "test").mkdir()
    for i in sorted(train):
        name = _NAMES[digits.target[i]]
        _save(digits.images[i], root / "train" / name / f"{name}_{i:04d}.jpg")
    ids = [f"TEST_{k:05d}" for k in range(len(test))]
    for identifier, i in zip(ids, test, strict=True):
        _save(digits.images[i], root / "test" / f"{identifier}.jpg")
    paths = [f"./test/{identifier}.jpg" for identifier in ids]
    _csv(pd.DataFrame({"ID": ids, "img_path": paths}), root / "test.csv")
    template = pd.DataFrame(0, index=range(len(ids)), columns=_NAMES)
    template.insert(0, "ID", ids)
    _csv(template, root / "sample_submission.csv")
    labels = [_NAMES[digits.target[i]] for i in test]
    _csv(pd.DataFrame({"ID": ids, "label": labels}), root / "answers.csv")


def _save(image: np.ndarray, path: Path) -> None:
    """Save an 8x8 image of values 0 to 16 as a JPEG."""
    grey = Image.fromarray((image * (255 / 16)).astype(np.uint8))
    large = grey.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    large.convert("RGB").save(path, quality=95)


def _csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, encoding="utf-8-sig")
