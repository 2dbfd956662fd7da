"""Whether a newly tuned ensemble is better than the one in use."""

from carvision.contracts import EnsembleOof, Score


def compare_with_champion(
    score: Score | None,
    oof: EnsembleOof,
    champion: str,
    champion_score: Score | None,
    champion_oof: EnsembleOof | None,
) -> tuple[bool, str]:
    """Decide whether the new ensemble replaces the ``champion``, and say why.

    Nested log losses are compared on the photos that both ensembles were tuned on, since a score
    over other photos is another quantity. ``champion_oof`` is None where the champion's photos were
    not kept; then the scores are compared as they are.
    """
    if champion_score is None or score is None or champion_score.data != score.data:
        return True, f"{champion}, the champion so far, is of other data"
    if champion_oof is not None:
        both = oof.photos.merge(champion_oof.photos, on="image_id", suffixes=("", "_old"))
        if both.empty:
            return False, f"{champion} was tuned on none of the same photos"
        new, old = float(both["log_loss"].mean()), float(both["log_loss_old"].mean())
        return _lower(f"nested log loss on {len(both):,} photos", new, old, champion)
    photos = champion_score.images
    name = champion if photos == score.images else f"{champion} (of {photos:,} photos)"
    if champion_score.nested is None or score.nested is None:
        # Fitted against fitted: a fitted score is too low, and would win against a nested one.
        return _lower("fitted log loss", score.log_loss, champion_score.log_loss, name)
    return _lower("nested log loss", score.nested, champion_score.nested, name)


def _lower(what: str, new: float, old: float, name: str) -> tuple[bool, str]:
    return new < old, f"{what} {new:.4f}, {name} has {old:.4f}"
