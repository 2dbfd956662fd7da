"""The table that ends each step."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from carvision.contracts import EnsembleSpec
from carvision.data.manifest import Manifest
from carvision.ensembling.forecast import Forecast
from carvision.ensembling.leaderboard import LeaderboardRow
from carvision.reporting.terminal import console, plain


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)


def manifest_summary(manifest: Manifest) -> list[tuple[str, str]]:
    """What was prepared, in words and numbers."""
    usable = manifest.usable
    counts = usable["class_index"].value_counts()
    copies = usable[usable.duplicated("group", keep=False)]
    return [
        ("photos", f"{len(manifest.frame):,}"),
        ("left out", f"{len(manifest.frame) - len(usable):,}"),
        ("groups of copies", f"{copies['group'].nunique():,} ({len(copies):,} photos)"),
        ("copies under another label", f"{len(manifest.conflicts):,}"),
        ("classes", f"{len(manifest.classes.names):,}"),
        ("class folders", f"{usable['label'].nunique():,}"),
        ("photos a class", f"{counts.min():,} to {counts.max():,}"),
        ("folds", f"{manifest.folds}"),
        ("fingerprint", manifest.fingerprint),
    ]


def show_manifest(manifest: Manifest) -> None:
    """What was prepared."""
    show_table("Prepared data", ["what", "value"], manifest_summary(manifest))


def show_folds(
    name: str, folds: Mapping[int, Mapping[str, float]], oof: Mapping[str, float]
) -> None:
    """A backbone's folds, and what they give together."""
    rows = [
        (
            f"fold {fold}",
            f"{metrics['best/epoch']:.0f}",
            f"{metrics['best/val_log_loss']:.4f}",
            f"{metrics['best/val_accuracy']:.2%}",
        )
        for fold, metrics in folds.items()
    ]
    total = ("out of fold", "", f"{oof['oof/log_loss']:.4f}", f"{oof['oof/accuracy']:.2%}")
    show_table(name, ["", "best epoch", "log loss", "accuracy"], [*rows, total])


def show_weights(spec: EnsembleSpec) -> None:
    """An ensemble's weight for each member and view."""
    views = list(dict.fromkeys(view for member in spec.members for view in member.weights))
    rows = [
        (
            f"{member.preset} v{member.version}",
            *(f"{member.weights.get(view, 0):.3f}" for view in views),
        )
        for member in spec.members
    ]
    show_table("Ensemble weights", ["member", *views], rows)


def show_leaderboard(
    photos: int, standings: Sequence[LeaderboardRow], interval: tuple[float, float]
) -> None:
    """Every way to mix, by its honest score; the interval is the tuned ensemble's."""
    lines = [
        (
            each.name,
            f"{each.nested:.4f}",
            f"{each.fitted:.4f}",
            f"{each.accuracy:.2%}",
            f"{each.calibration_error:.3f}",
            "–" if each.cost is None else f"{each.cost:,.0f}",
        )
        for each in standings
    ]
    columns = ["", "nested log loss", "fitted", "accuracy", "ECE", "s/1,000"]
    show_table(f"Out of fold, {photos:,} photos", columns, lines)
    console.print(f"tuned: nested log loss between {interval[0]:.4f} and {interval[1]:.4f} (90 %)")


def show_test_scores(title: str, rows: Sequence[tuple[str, float | None, float, float]]) -> None:
    """What was expected out of fold, beside what the test's answers say."""
    lines = [
        (name, "–" if oof is None else f"{oof:.4f}", f"{log_loss:.4f}", f"{accuracy:.2%}")
        for name, oof, log_loss, accuracy in rows
    ]
    show_table(title, ["", "OOF log loss", "test log loss", "test accuracy"], lines)


def show_forecast(forecast: Forecast, truth: tuple[float, float] | None) -> None:
    """The score to expect of the test, and the true one (log loss, accuracy) where it is known."""
    show_table(
        "Forecast of the test",
        ["", "expected", "90 % between", "true"],
        forecast_rows(forecast, truth),
    )
    if forecast.warning:
        console.print(f"warning: {forecast.warning}", style="yellow", soft_wrap=True)


def forecast_rows(
    forecast: Forecast, truth: tuple[float, float] | None
) -> list[tuple[str, str, str, str]]:
    """What is forecast, its value, its interval, and the truth."""
    log_loss, accuracy = (f"{truth[0]:.4f}", f"{truth[1]:.2%}") if truth else ("–", "–")
    return [
        (
            "log loss",
            f"{forecast.log_loss:.4f}",
            f"{forecast.low:.4f} and {forecast.high:.4f}",
            log_loss,
        ),
        (
            "accuracy",
            f"{forecast.accuracy:.2%}",
            f"{forecast.accuracy_low:.2%} and {forecast.accuracy_high:.2%}",
            accuracy,
        ),
    ]


def show_benchmark(what: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """What was measured, against whom, and whether it is what was wanted."""
    verdicts = {True: "yes", False: "NO", None: ""}
    lines = [
        (
            row["name"],
            f"{_short(row['value'])} {row['unit']}",
            f"{row['rival']} {_short(row['rival_value'])}" if row["rival"] else "",
            _short(row["ratio"]),
            _short(row["target"]),
            verdicts[row["holds"]],
        )
        for row in rows
    ]
    columns = ["", "value", "rival", "ratio", "target", "holds"]
    show_table(f"Benchmark {what}", columns, lines)


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
