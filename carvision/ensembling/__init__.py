"""Mixtures of members' out-of-fold predictions, and what can be proved of them."""

from carvision.ensembling.blend import Blend, Mixing, Scorer
from carvision.ensembling.crossfit import bootstrap_interval, parts_of
from carvision.ensembling.exact import Exact, duality_gap, exact_weights
from carvision.ensembling.leaderboard import (
    Contestant,
    Standing,
    leaderboard,
    simple_contestants,
)
from carvision.ensembling.mixture import mixture_log_loss, normalised
from carvision.ensembling.nested import nested_log_probabilities
from carvision.ensembling.oof import MemberOof, OofTable
from carvision.ensembling.pareto import Subset, score_against_cost
from carvision.ensembling.raw_weights import Tuned, starting_points, tune_weights
from carvision.ensembling.rules import RULES
from carvision.ensembling.study import Found, search
from carvision.ensembling.tempering import TemperatureGrid

__all__ = [
    "RULES",
    "Blend",
    "Contestant",
    "Exact",
    "Found",
    "MemberOof",
    "Mixing",
    "OofTable",
    "Scorer",
    "Standing",
    "Subset",
    "TemperatureGrid",
    "Tuned",
    "bootstrap_interval",
    "duality_gap",
    "exact_weights",
    "leaderboard",
    "mixture_log_loss",
    "nested_log_probabilities",
    "normalised",
    "parts_of",
    "score_against_cost",
    "search",
    "simple_contestants",
    "starting_points",
    "tune_weights",
]
