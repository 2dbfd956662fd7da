"""The table that ends a search over hyperparameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from carvision.reporting.tables import short, show_table


def show_trials(
    start: Mapping[str, Any],
    log_loss: str,
    best: Sequence[FrozenTrial],
    importance: Mapping[str, float],
) -> None:
    """Print the best trials' settings, beside the configured ones and their ``log_loss``.

    ``importance`` holds each setting's share in the variation of the log loss, or nothing if it is
    unknown.
    """
    names = dict.fromkeys([*start, *(name for trial in best for name in trial.params)])
    columns = ["", "configured", *(f"trial {trial.number}" for trial in best)]
    rows = [["log loss", log_loss, *(f"{trial.value:.4f}" for trial in best)]]
    for name in names:
        values = [start.get(name), *(trial.params.get(name) for trial in best)]
        rows.append([name, *(short(value, absent="–") for value in values)])
    if importance:
        columns.append("importance")
        for row in rows:
            row.append(f"{importance[row[0]]:.0%}" if row[0] in importance else "")
    show_table("The best trials", columns, rows)
