"""The formats that pass between steps, and the protocol by which steps report."""

from carvision.contracts.classes import ClassMap, nfc
from carvision.contracts.ensemble import EnsembleSpec, Member, Mixing, Score, read_spec
from carvision.contracts.ensemble_oof import (
    EnsembleOof,
    read_ensemble_oof,
    write_ensemble_oof,
)
from carvision.contracts.predictions import (
    Predictions,
    TrueClass,
    concatenated,
    read_predictions,
    read_true_class,
    write_predictions,
)
from carvision.contracts.same_ensemble import same_ensemble
from carvision.contracts.tracker import Tracker, TrackerGroup
from carvision.contracts.tta_view_names import VIEWS

__all__ = [
    "VIEWS",
    "ClassMap",
    "EnsembleOof",
    "EnsembleSpec",
    "Member",
    "Mixing",
    "Predictions",
    "Score",
    "Tracker",
    "TrackerGroup",
    "TrueClass",
    "concatenated",
    "nfc",
    "read_ensemble_oof",
    "read_predictions",
    "read_spec",
    "read_true_class",
    "same_ensemble",
    "write_ensemble_oof",
    "write_predictions",
]
