"""What a trainer logs becomes events, with a time that never goes back."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from rldk.io.clock import RunClock, SystemClock, timestamp
from rldk.io.recorder import Recorder
from rldk.io.writer import Counters, open_writer
from rldk.metrics import Translator
from tests.runs import make_event

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.event_schema import Event

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class SetClock:
    """A clock that shows what it is set to."""

    def __init__(self, now: float = NEW_YEAR, uptime: float = 0.0) -> None:
        self.now = now
        self.uptime = uptime

    def time(self) -> float:
        """Seconds since 1970."""
        return self.now

    def monotonic(self) -> float:
        """Seconds since the machine was started."""
        return self.uptime

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.uptime += seconds


class KeptEvents:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> bool:
        """Keep an event."""
        self.events.append(event)
        return True

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""


def make_recorder(writer: Any, clock: SetClock | None = None) -> Recorder:
    """A recorder of GRPO for the run r."""
    return Recorder(
        writer,
        clock=RunClock(clock=clock or SetClock()),
        translator=Translator("trl", "grpo"),
        rng={"seed": 42},
        model_info={"run_id": "r", "model_name": "tiny"},
    )


# Events


def test_an_event_has_all_that_is_known() -> None:
    """Canonical names, the time of the run, the seeds, the batch, the model and the phase."""
    kept, clock = KeptEvents(), SetClock()
    recorder = make_recorder(kept, clock)
    clock.go_on(2.5)
    taken = recorder.record(
        3, {"reward": 0.5, "my_metric": 1.0}, phase="eval", data_slice={"batch_size": 8}, notes=["own: note"]
    )

    assert taken is True
    assert kept.events == [
        make_event(
            3,
            wall_time=2.5,
            timestamp="2026-01-01T00:00:02.500000Z",
            metrics={"reward_mean": 0.5, "my_metric": 1.0},
            rng={"seed": 42},
            data_slice={"batch_size": 8},
            model_info={"run_id": "r", "model_name": "tiny", "phase": "eval"},
            notes=["own: note"],
        )
    ]


def test_what_nobody_said_is_empty() -> None:
    """Without metrics, batch and notes the event has none; the phase is train."""
    kept = KeptEvents()
    make_recorder(kept).record(0, {})

    assert kept.events == [
        make_event(
            0,
            wall_time=0.0,
            timestamp="2026-01-01T00:00:00.000000Z",
            metrics={},
            rng={"seed": 42},
            model_info={"run_id": "r", "model_name": "tiny", "phase": "train"},
        )
    ]


def test_an_event_does_not_change_with_what_it_was_made_from() -> None:
    """A trainer that goes on using its dicts does not rewrite what was recorded."""
    kept, logs, batch = KeptEvents(), {"loss": 0.5}, {"batch_size": 8}
    make_recorder(kept).record(0, logs, data_slice=batch)
    logs["loss"] = 9.0
    batch["batch_size"] = 9

    assert (kept.events[0].metrics, kept.events[0].data_slice) == ({"loss": 0.5}, {"batch_size": 8})


def test_false_says_that_the_event_was_not_written(tmp_path: Path) -> None:
    """What the writer answers is what the recorder answers."""
    writer = open_writer(tmp_path, run_id="r")
    recorder = make_recorder(writer)
    open_answer = recorder.record(0, {"loss": 0.5})
    writer.close()

    assert (open_answer, recorder.record(1, {"loss": 0.5})) == (True, False)


class Tensor:
    """What RLDK knows of a tensor: how many dimensions it has, and its value when it has none."""

    def __init__(self, value: object, ndim: int) -> None:
        self.ndim = ndim
        self._value = value

    def item(self) -> object:
        """The value as Python has it."""
        return self._value


def test_values_of_many_kinds(tmp_path: Path) -> None:
    """Scalars become numbers; what is none is refused by name, counted and noted, and the rest is written."""
    writer = open_writer(tmp_path, run_id="r")
    kept = KeptEvents()
    logs: dict[Any, Any] = {
        "loss": Tensor(0.5, 0),
        "num_tokens": 12,
        "flag": True,
        "none": None,
        "inf": float("inf"),
        "text": "high",
        "vector": Tensor([1.0], 1),
        "nested": {"a": 1},
        7: 1.0,
    }
    note = "refused: text (str), vector (tests.io.test_recorder.Tensor), nested (dict), 7 (its name is int, no string)"
    make_recorder(kept).record(0, logs, notes=["own: note"])
    recorder = make_recorder(writer)
    recorder.record(0, logs)
    recorder.record(1, {"loss": 0.5})
    writer.close()

    assert kept.events[0].metrics == {"loss": 0.5, "tokens_total": 12, "flag": 1, "none": None, "inf": float("inf")}
    assert [type(value) for value in kept.events[0].metrics.values()] == [float, int, int, type(None), float]
    assert kept.events[0].notes == ["own: note", note]
    assert writer.counters == Counters(written=2)
    assert recorder.refused_metrics == 4


def test_a_name_that_is_no_string_costs_only_its_metric() -> None:
    """Where all values are plain floats the names are looked at all the same."""
    kept = KeptEvents()
    recorder = make_recorder(kept)
    logs: dict[Any, float] = {"loss": 0.5, 7: 1.0}
    recorder.record(0, logs)

    assert kept.events[0].metrics == {"loss": 0.5}
    assert kept.events[0].notes == ["refused: 7 (its name is int, no string)"]


# Time


def test_a_new_run_begins_at_zero() -> None:
    """wall_time counts from when the clock was made, whatever the machine's clocks say."""
    clock = SetClock(uptime=1e6)
    run = RunClock(clock=clock)
    began = run.now()
    clock.go_on(0.125)

    assert began == (0.0, "2026-01-01T00:00:00.000000Z")
    assert run.now() == (0.125, "2026-01-01T00:00:00.125000Z")


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_the_wall_clock_may_jump(jump: float) -> None:
    """A clock that is set does not disturb wall_time; timestamp shows it, and so tells when it happened."""
    clock = SetClock()
    run = RunClock(clock=clock)
    clock.go_on(10.0)
    clock.now += jump

    assert run.now() == (10.0, timestamp(NEW_YEAR + 10.0 + jump))


def past(wall_time: float | None, said_at: float | None) -> Event:
    """The last event of an earlier attempt."""
    return make_event(9, wall_time=wall_time, timestamp=None if said_at is None else timestamp(said_at))


@pytest.mark.parametrize(
    ("last", "now", "wall_time"),
    [
        (past(100.0, NEW_YEAR), NEW_YEAR + 50.0, 150.0),
        (past(100.0, NEW_YEAR), NEW_YEAR, 100.0),
        (past(100.0, NEW_YEAR), NEW_YEAR - 50.0, 100.0),
        (past(100.0, NEW_YEAR), NEW_YEAR - 1000.0, 100.0),
        (past(100.0, None), NEW_YEAR, 100.0),
        (past(None, NEW_YEAR), NEW_YEAR, 0.0),
        (None, NEW_YEAR, 0.0),
    ],
    ids=["downtime", "at once", "set back", "set back far", "no timestamp", "no wall_time", "new"],
)
def test_a_resumed_run_goes_on_where_it_was(last: Event | None, now: float, wall_time: float) -> None:
    """Downtime counts where the clock can tell; wall_time begins no earlier than it ended."""
    clock = SetClock(now, uptime=3.0)
    run = RunClock(last, clock)
    began, _ = run.now()
    clock.go_on(5.0)

    assert began == pytest.approx(wall_time, abs=1e-6)
    assert began >= wall_time - 1e-9
    assert run.now()[0] == pytest.approx(wall_time + 5.0, abs=1e-6)


def test_an_impossible_timestamp_is_no_reason_not_to_record() -> None:
    """A day that no month has, as damage can make it, tells nothing; wall_time goes on where it was."""
    run = RunClock(make_event(9, wall_time=100.0, timestamp="2026-02-31T00:00:00.000000Z"), SetClock())

    assert run.now()[0] == 100.0


def test_wall_time_never_goes_back() -> None:
    """Over hundreds of attempts with clocks set at random, each wall_time is at least the one before."""
    chance = random.Random(7)  # noqa: S311 - moments, no secrets
    last: Event | None = None
    times = [0.0]
    for _ in range(500):
        clock = SetClock(NEW_YEAR + chance.uniform(-1e6, 1e6), uptime=chance.uniform(0.0, 1e7))
        run = RunClock(last, clock)
        for _ in range(3):
            wall_time, stamp = run.now()
            times.append(wall_time)
            last = make_event(0, wall_time=wall_time, timestamp=stamp)
            clock.go_on(chance.choice([0.0, 1e-6, 1.0, 1e4]))
            clock.now += chance.choice([0.0, -1e5, 1e5])

    assert times == sorted(times)


def test_attempts_of_a_real_log_follow_each_other_in_time(tmp_path: Path) -> None:
    """The last event of the log is what the next attempt's clock goes on from."""
    times = []
    for _ in range(3):
        writer = open_writer(tmp_path, run_id="r")
        clock = RunClock(writer.past)
        for step in range(2):
            times.append(clock.now()[0])
            writer.write(make_event(step, wall_time=times[-1], timestamp=clock.now()[1]))
        writer.close()

    assert times == sorted(times)
    assert times[0] < times[-1] < 60


def test_the_systems_clock() -> None:
    """Without another clock it is the machine's."""
    before = datetime.now(UTC)
    wall_time, stamp = RunClock().now()
    after = datetime.now(UTC)

    assert 0.0 <= wall_time < 60
    assert before <= datetime.fromisoformat(stamp) <= after
    assert SystemClock.monotonic() <= SystemClock.monotonic()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (NEW_YEAR, "2026-01-01T00:00:00.000000Z"),
        (NEW_YEAR + 0.25, "2026-01-01T00:00:00.250000Z"),
        (NEW_YEAR - 0.000001, "2025-12-31T23:59:59.999999Z"),
    ],
)
def test_timestamps_are_utc_with_microseconds(seconds: float, text: str) -> None:
    """Always six digits and Z, also where the fraction is zero."""
    assert timestamp(seconds) == text
