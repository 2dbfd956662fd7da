"""The table that ends a search over hyperparameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from carvision.reporting.tables import show_table


def show_trials(
    start: Mapping[str, Any],
    log_loss: str,
    best: Sequence[FrozenTrial],
    importance: Mapping[str, float],
) -> None:
    """The best trials' settings beside those of the configuration, ``start``, and its log loss.

    A column says how much of the log loss's variation is each setting's, where that is known.
    """
    names = dict.fromkeys([*start, *(name for trial in best for name in trial.params)])
    columns = ["", "configured", *(f"trial {trial.number}" for trial in best)]
    rows = [["log loss", log_loss, *(f"{trial.value:.4f}" for trial in best)]]
    for name in names:
        values = [start.get(name), *(trial.params.get(name) for trial in best)]
        rows.append([name, *(_short(value) for value in values)])
    if importance:
        columns.append("importance")
        for row in rows:
            row.append(f"{importance[row[0]]:.0%}" if row[0] in importance else "")
    show_table("The best trials", columns, rows)


def _short(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
