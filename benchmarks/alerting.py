"""What it costs to judge a run while it goes on, and to diagnose a long log afterwards."""

import math
import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.events import NAMES, stamped
from benchmarks.events import events as blank
from rldk.alerts import Engine
from rldk.io.codec import encode
from rldk.io.event_schema import Event
from rldk.io.reader import read_events

EVENTS = 20_000
LONG = 1_000_000
PERIOD = 5_000
"""A long log repeats so many lines with other steps, so that writing it does not take as long as reading it."""

LEVELS = {
    "clip_frac": 0.02,
    "frac_zero_std_groups": 0.2,
    "grad_norm": 0.8,
    "kl_mean": 0.02,
    "loss": 0.1,
    "response_len_mean": 300.0,
    "step_time": 30.0,
    "truncation_rate": 0.02,
}


def healthy(count: int) -> list[Event]:
    """Events of a healthy run with 30 metrics: nothing that fires makes them cheap or dear."""
    random = Random(7)  # noqa: S311 - figures, not secrets
    made = []
    for event in blank(count):
        share = event.step / count
        metrics = {name: LEVELS.get(name, 0.5) * math.exp(random.gauss(0, 0.1)) for name in NAMES}
        metrics |= {"tokens_total": 1000.0 * event.step, "epoch": share, "lr": 1e-6 * (1 - share)}
        metrics["reward_mean"] = 0.2 + 0.5 * share + random.gauss(0, 0.02)
        event.metrics.update(metrics)
        made.append(stamped(event, event.step))
    return made


def measure(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Judge every event by itself, then a log of a million events as a whole."""
    run = healthy(EVENTS)
    engine, took = Engine(algorithm="grpo"), []
    for event in run:
        began = time.perf_counter()
        engine.add(event)
        took.append(time.perf_counter() - began)
    verdict = engine.finish()
    assert verdict.health == "good", verdict.sentence
    micro = [1e6 * each for each in took]
    yield "all default rules, for an event of 30 metrics, median", f"{statistics.median(micro):.0f} us", "<= 50 us", ""
    yield "the same, 99 of 100", f"{statistics.quantiles(micro, n=100)[-1]:.0f} us", "", ""
    yield "the same, mean over 20,000 events", f"{statistics.fmean(micro):.0f} us", "", ""
    yield from _diagnose(folder / "long_events.jsonl", run[:PERIOD])


def _diagnose(path: Path, run: list[Event]) -> Iterator[tuple[str, str, str, str]]:
    """Write a log of a million events, and judge it."""
    tails = [encode(event).partition(b',"metrics":')[2] for event in run]
    with path.open("wb") as file:
        for step in range(LONG):
            head = b'{"step":%d,"wall_time":%d.5,"metrics":' % (step, step)
            file.write(head + tails[step % PERIOD])
    # Processor time, because other work on the machine is none of it.
    began, before = time.process_time(), _peak()
    engine = Engine(algorithm="grpo")
    for event in read_events(path, history="all"):
        engine.add(event)
    verdict = engine.finish()
    took = time.process_time() - began
    assert verdict.points == LONG
    path.unlink()
    yield "1,000,000 events read and diagnosed", f"{took:.0f} s", "< 90 s", ""
    yield "memory that it took", f"{_peak() - before:.0f} MB", "flat", ""


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
