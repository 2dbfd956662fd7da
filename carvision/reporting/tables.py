"""The tables that the steps print."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from carvision.contracts import EnsembleSpec
from carvision.data.manifest import Manifest
from carvision.ensembling.forecast import Forecast
from carvision.ensembling.leaderboard import LeaderboardRow
from carvision.reporting.terminal import console, plain


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)


def manifest_summary(manifest: Manifest) -> list[tuple[str, str]]:
    """Summarise a manifest as rows of a name and a value."""
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
    """Print what was prepared."""
    show_table("Prepared data", ["what", "value"], manifest_summary(manifest))


def show_folds(
    name: str, folds: Mapping[int, Mapping[str, float]], oof: Mapping[str, float]
) -> None:
    """Print the scores of a backbone's folds, and of all its out-of-fold predictions."""
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
    """Print an ensemble's weight for each member and view."""
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
    """Print every way to mix, the best nested score first; ``interval`` is that of ``tuned``."""
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
    """Print the scores on the test photos beside the out-of-fold log losses."""
    lines = [
        (name, "–" if oof is None else f"{oof:.4f}", f"{log_loss:.4f}", f"{accuracy:.2%}")
        for name, oof, log_loss, accuracy in rows
    ]
    show_table(title, ["", "OOF log loss", "test log loss", "test accuracy"], lines)


def show_forecast(forecast: Forecast, truth: tuple[float, float] | None) -> None:
    """Print the forecast, beside the true log loss and accuracy where these are known."""
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
    """Rows of a quantity, its forecast, its interval and its true value."""
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
    """Print what was measured, beside the rivals and the targets."""
    verdicts = {True: "yes", False: "NO", None: ""}
    lines = [
        (
            row["name"],
            f"{short(row['value'])} {row['unit']}",
            f"{row['rival']} {short(row['rival_value'])}" if row["rival"] else "",
            short(row["ratio"]),
            short(row["target"]),
            verdicts[row["holds"]],
        )
        for row in rows
    ]
    columns = ["", "value", "rival", "ratio", "target", "holds"]
    show_table(f"Benchmark {what}", columns, lines)


def short(value: Any, absent: str = "") -> str:
    """Format a value for a cell of a table: a number by three digits, None as ``absent``."""
    if value is None:
        return absent
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
