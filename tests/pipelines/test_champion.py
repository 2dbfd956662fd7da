"""When a new ensemble takes the champion's place."""

from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest

from carvision.contracts import EnsembleOof, EnsembleSpec, Member, Score
from carvision.errors import PredictionsError
from carvision.pipelines import champion
from carvision.pipelines.champion import _verdict, register_and_crown


def _oof(photos: range, loss: float) -> EnsembleOof:
    """Photos with a loss that grows along them, ``loss`` for the first."""
    index = pd.DataFrame(
        {
            "image_id": [f"{i}.jpg" for i in photos],
            "group": [f"{i}.jpg" for i in photos],
            "fold": 1,
            "class_index": 0,
        }
    )
    losses = loss + 0.01 * np.array(photos)
    return EnsembleOof.of(index, np.log([[0.5, 0.5]] * len(photos)), losses, 0.0, {})


def _score(nested: float | None, images: int = 10, data: str = "d", fitted: float = 0.2) -> Score:
    return Score(log_loss=fitted, nested=nested, data=data, folds=(1,), images=images)


@pytest.mark.parametrize(
    ("held", "new", "crowned", "why"),
    [
        # No score, or other data.
        ((None, None), (_score(0.9), 0.9, 10), True, "of other data"),
        ((_score(0.1, data="e"), (0.1, 10)), (_score(0.9), 0.9, 10), True, "of other data"),
        # The same photos.
        ((_score(0.345), (0.3, 10)), (_score(0.335), 0.29, 10), True, "on 10 photos 0.3350, old"),
        ((_score(0.345), (0.3, 10)), (_score(0.355), 0.31, 10), False, "0.3550, old has 0.3450"),
        ((_score(0.345), (0.3, 10)), (_score(0.345), 0.3, 10), False, "0.3450, old has 0.3450"),
        # More photos, hard ones: better on those of both, and worse in all.
        ((_score(0.345), (0.3, 10)), (_score(0.785), 0.29, 100), True, "on 10 photos 0.3350"),
        # More photos, and far worse.
        ((_score(0.345), (0.3, 10)), (_score(2.0), 1.9, 100), False, "on 10 photos 1.9450"),
        # Fewer photos, and better on those.
        ((_score(0.785, 100), (0.29, 100)), (_score(0.325), 0.28, 10), True, "on 10 photos 0.3250"),
        # Scores alone: nested ones, whatever the photos; fitted ones, where no other is known.
        ((_score(0.3), None), (_score(0.29), 0.29, 10), True, "loss 0.2900, old has 0.3000"),
        ((_score(0.3), None), (_score(0.31), 0.31, 10), False, "loss 0.3100, old has 0.3000"),
        ((_score(0.3), None), (_score(1.9, 100), 1.9, 100), False, "old (of 10 photos) has 0.3"),
        ((_score(None), None), (_score(0.3, fitted=0.1), 0.3, 10), True, "fitted log loss 0.1"),
        ((_score(None), None), (_score(0.1, fitted=0.3), 0.1, 10), False, "fitted log loss 0.3"),
    ],
)
def test_the_better_nested_loss_on_the_same_photos_wins(
    held: tuple[Score | None, tuple[float, int] | None],
    new: tuple[Score, float, int],
    crowned: bool,
    why: str,
) -> None:
    score, photos = held
    old = None if photos is None else _oof(range(photos[1]), photos[0])
    found = _verdict("old", (score, old), (new[0], _oof(range(new[2]), new[1])))
    assert found[0] is crowned
    assert why in found[1]


def test_ensembles_of_no_common_photo_are_not_compared() -> None:
    held, new = (_score(0.3), _oof(range(10), 0.3)), (_score(0.1), _oof(range(10, 20), 0.0))
    assert _verdict("old", held, new) == (
        False,
        "old was tuned on none of this one's photos: nothing compares them",
    )


def _spec(nested: float) -> EnsembleSpec:
    member = Member(
        preset="efficientnet_lite0",
        registered_model="carvision-efficientnet_lite0",
        version=1,
        weights={"original": 1.0},
        temperatures={"original": 1.0},
    )
    return EnsembleSpec(
        members=(member,),
        mixing="arithmetic",
        class_names=("a", "b"),
        class_folders=(("a",), ("b",)),
        score=_score(nested),
    )


@pytest.mark.parametrize("damaged", [False, True])
def test_the_champions_own_photos_are_fetched(
    damaged: bool, monkeypatch: pytest.MonkeyPatch, store: object
) -> None:
    def fetch(version: int) -> EnsembleOof:
        assert version == 3
        if damaged:
            raise PredictionsError("not the photos")
        return _oof(range(10), 0.1)

    crowns: list[int] = []
    monkeypatch.setattr(champion, "champion_ensemble", lambda: (3, _spec(0.3)))
    monkeypatch.setattr(champion, "fetch_ensemble_oof", fetch)
    monkeypatch.setattr(champion, "register_ensemble", lambda spec, data: 4)
    monkeypatch.setattr(champion, "crown_ensemble", crowns.append)
    with mlflow.start_run() as run:
        register_and_crown(_spec(0.2), "d", _oof(range(10), 0.2))
    tags = mlflow.get_run(run.info.run_id).data.tags
    # On the photos it is the worse one; by the scores, if they are all there is, the better.
    assert crowns == ([4] if damaged else [])
    assert tags["carvision.crowned"] == str(damaged).lower()


@pytest.mark.parametrize(("columns", "found"), [("ab", 3), ("ac", None)])
def test_data_whose_manifest_is_gone_is_told_by_its_template(
    columns: str,
    found: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = {"class_names": ("x", "y"), "class_folders": (("x",), ("y",))}
    general, other = (2, _spec(0.1).model_copy(update=classes)), (3, _spec(0.3))
    template = tmp_path / "sample_submission.csv"
    template.write_text(f"ID,{','.join(columns)}\n1,0,0\n")
    monkeypatch.setattr(champion, "champion_ensemble", lambda: general)
    monkeypatch.setattr(champion, "data_champion", lambda data: None)
    monkeypatch.setattr(champion, "other_champions", lambda: [other])
    gone = SimpleNamespace(data="f", manifest_or_none=lambda: None)
    beside = SimpleNamespace(template=template)
    chosen = champion._own_or_alike(gone, beside)  # type: ignore[arg-type]
    assert chosen == (other if found else general)


def test_the_same_result_says_so(monkeypatch: pytest.MonkeyPatch, store: object) -> None:
    monkeypatch.setattr(champion, "champion_ensemble", lambda: (3, _spec(0.3)))
    with mlflow.start_run() as run:
        register_and_crown(_spec(0.3), "d", _oof(range(10), 0.3))
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags["carvision.comparison"].endswith("version 3, the champion already")
    assert tags["carvision.crowned"] == "false"


def test_a_result_of_another_number_of_threads_registers_no_version(
    monkeypatch: pytest.MonkeyPatch, store: object
) -> None:
    """BLAS adds in another order there: weights and scores are 1e-15 apart."""
    held, found = _spec(0.3), _spec(0.3 + 1e-15)
    weights = {"original": 1 - 1e-15, "hflip": 0.0}
    temperatures = {"original": 1.0 + 1e-15, "hflip": 1.0}
    (member,) = held.members
    held = held.model_copy(
        update={
            "members": (
                member.model_copy(
                    update={
                        "weights": {"original": 1.0, "hflip": 1e-16},
                        "temperatures": dict.fromkeys(weights, 1.0),
                    }
                ),
            )
        }
    )
    found = found.model_copy(
        update={
            "members": (
                member.model_copy(update={"weights": weights, "temperatures": temperatures}),
            )
        }
    )
    assert held != found
    monkeypatch.setattr(champion, "champion_ensemble", lambda: (3, held))
    with mlflow.start_run() as run:
        register_and_crown(found, "d", _oof(range(10), 0.3))
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags["carvision.comparison"].endswith("version 3, the champion already")
