"""Which registered ensemble predicts the test photos."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from carvision.contracts import EnsembleSpec, Member
from carvision.pipelines.ensemble import champion
from carvision.pipelines.ensemble.champion import choose_champion


def _spec(*class_names: str) -> EnsembleSpec:
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
        class_names=class_names,
        class_folders=tuple((name,) for name in class_names),
        score=None,
    )


@pytest.mark.parametrize(("columns", "found"), [("ab", 3), ("ac", None)])
def test_data_whose_manifest_is_gone_is_told_by_its_template(
    columns: str,
    found: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    general, other = (2, _spec("x", "y")), (3, _spec("a", "b"))
    template = tmp_path / "sample_submission.csv"
    template.write_text(f"ID,{','.join(columns)}\n1,0,0\n")
    monkeypatch.setattr(champion, "champion_ensemble", lambda: general)
    monkeypatch.setattr(champion, "data_champion", lambda data: None)
    monkeypatch.setattr(champion, "other_champions", lambda: [other])
    gone = SimpleNamespace(data="f", manifest_or_none=lambda: None)
    beside = SimpleNamespace(template=template)
    chosen = choose_champion(gone, beside)  # type: ignore[arg-type]
    assert chosen == (other if found else general)
