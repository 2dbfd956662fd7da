"""What is refused before a run is opened leaves none."""

from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from carvision.config import load_config
from carvision.errors import CarvisionError, ConfigError, DataError
from carvision.pipelines.bench import bench
from carvision.pipelines.ensemble.step import ensemble
from carvision.pipelines.hpo.step import hpo
from carvision.pipelines.main import main
from carvision.pipelines.prepare.step import prepare
from carvision.pipelines.train.step import train
from carvision.pipelines.tune.step import tune

_OUTPUT = Path("out.csv")


def _main(data: str, test: str = "", output: Path = _OUTPUT) -> None:
    main([load_config()], data, test=test, trials=2, tta_steps=5, output=output)


def _ensemble(data: str, test: str = "", output: Path = _OUTPUT) -> Path:
    return ensemble(load_config(), data, test=test, output=output, tta_steps=5)


_STEPS: dict[str, Callable[[str], object]] = {
    "prepare": lambda data: prepare(load_config(), data),
    "train": lambda data: train([load_config()], data, "all", "auto"),
    "tune": lambda data: tune(load_config(), data, [], 2),
    "ensemble": _ensemble,
    "main": _main,
    "hpo": lambda data: hpo(load_config(), data, fold="1", trials=2, output=_OUTPUT),
    "bench": lambda data: bench("input", data, ""),
}


@pytest.mark.parametrize("data", ["nowhere", "nowhere.zip", "file.txt"])
@pytest.mark.parametrize("step", _STEPS)
def test_data_that_is_not_there(step: str, data: str, store: Path) -> None:
    (store / "file.txt").write_text("no photos")
    with pytest.raises(DataError, match=f"data={data} .*give a folder of photos, a zip"):
        _STEPS[step](data)
    assert _runs() == []


@pytest.mark.parametrize("step", [_main, _ensemble])
def test_test_photos_and_an_output_that_are_not_there(
    step: Callable[..., object], store: Path
) -> None:
    with pytest.raises(DataError, match="test=nowhere does not exist"):
        step("sample", test="nowhere")
    with pytest.raises(ConfigError, match="is a folder"):
        step("sample", output=store)
    assert _runs() == []


@pytest.mark.parametrize(
    "step",
    [
        lambda: train([load_config()], "sample", "all", "always"),
        lambda: tune(load_config(), "sample", [], 2, "best"),
        lambda: bench("speed", "sample", ""),
        lambda: hpo(load_config(), "sample", fold="1", trials=0, output=_OUTPUT),
    ],
)
def test_words_that_there_are_not(step: Callable[[], object], store: Path) -> None:
    with pytest.raises(CarvisionError, match="expected"):
        step()
    assert _runs() == []


def _runs() -> list[object]:
    found: list[object] = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return found
