"""A group of trackers forwards every event to each of them, in their order."""

from carvision.contracts import Tracker, TrackerGroup


class _Named(Tracker):
    """Notes its name and every event in a list that it shares with others."""

    def __init__(self, name: str, seen: list[tuple[object, ...]]) -> None:
        self._name = name
        self._seen = seen

    def run_started(self, description, total_steps) -> None:
        self._seen.append((self._name, description, total_steps))

    def step_ended(self, step, loss) -> None:
        self._seen.append((self._name, step, loss))

    def images_predicted(self, done, total) -> None:
        self._seen.append((self._name, done, total))

    def epoch_ended(self, epoch, metrics) -> None:
        self._seen.append((self._name, epoch, metrics))

    def warning(self, message) -> None:
        self._seen.append((self._name, message))


class _Silent(Tracker):
    """A tracker that needs no event."""


def _report(tracker: Tracker) -> None:
    tracker.run_started("lite0 fold 1", 9)
    tracker.step_ended(1, 2.5)
    tracker.images_predicted(3, 12)
    tracker.epoch_ended(1, {"val/log_loss": 2.0})
    tracker.warning("it overfits")


def test_a_group_forwards_every_event_in_order() -> None:
    seen: list[tuple[object, ...]] = []
    # The one in between overrides nothing, and so does nothing.
    _report(TrackerGroup([_Named("a", seen), _Silent(), _Named("b", seen)]))
    events = [("lite0 fold 1", 9), (1, 2.5), (3, 12), (1, {"val/log_loss": 2.0}), ("it overfits",)]
    assert seen == [(name, *event) for event in events for name in ("a", "b")]
