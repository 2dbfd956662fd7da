"""The name of a fold set: everything that changes the result, and nothing else."""

from pathlib import Path

import pytest

from carvision.config import load_config
from carvision.tracking.fold_sets import set_name


@pytest.mark.parametrize(
    ("overrides", "fingerprint", "same"),
    [
        ("device=cpu loader.workers=0 inference.batch_size=3", "data", True),
        ("optimizer.lr=1e-4", "data", False),
        ("seed=1", "data", False),
        ("", "other data", False),
    ],
)
def test_identity(overrides: str, fingerprint: str, same: bool) -> None:
    name = set_name(load_config(overrides=overrides), fingerprint, None)
    assert (name == set_name(load_config(), "data", None)) is same


def test_the_content_of_a_weights_file_counts(tmp_path: Path) -> None:
    names = []
    for folder, content in {"here": b"a", "there": b"a", "elsewhere": b"b"}.items():
        file = tmp_path / folder / "weights.pth"
        file.parent.mkdir()
        file.write_bytes(content)
        names.append(set_name(load_config(overrides=f"model.weights={file}"), "data", None))
    assert names[0] == names[1] != names[2]
    assert names[0] != set_name(load_config(), "data", None)


def test_the_cache_that_is_really_used_counts() -> None:
    config = load_config(overrides="data.cache=256")
    # The same setting, with photos that are and are not worth a cache.
    assert set_name(config, "data", 256) != set_name(config, "data", None)
    off = load_config(overrides="data.cache=off")
    assert set_name(config, "data", None) == set_name(off, "data", None)
