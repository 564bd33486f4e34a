"""What a process of a logger does: `python -m benchmarks.peers.child` with a request of JSON, answered in a file.

The answer goes to a file because loggers print. Acknowledgements go there with one `write(2)` each, so that they
outlive the process.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.peers.interface import Place
from benchmarks.peers.values import NONFINITE, values

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_WAIT: Final = 60.0
"""How long the four writers wait for each other."""


def cost(peer: str, folder: str, *, steps: int) -> dict[str, Any]:
    """Log so many steps as fast as it goes: what importing, starting, each call and finishing cost."""
    given = [(step, values(step)) for step in range(steps)]
    calls = []
    began = time.perf_counter()
    log = _module(peer).start(Place(Path(folder)))
    started = time.perf_counter()
    thread, process = time.thread_time(), time.process_time()
    for step, metrics in given:
        before = time.perf_counter()
        log.log(step, metrics)
        calls.append(time.perf_counter() - before)
    thread, process = time.thread_time() - thread, time.process_time() - process
    logged = time.perf_counter()
    log.finish()
    finished = time.perf_counter()
    calls.sort()
    return {
        "p50": calls[steps // 2],
        "p99": calls[steps * 99 // 100],
        "thread": thread / steps,
        "process": process / steps,
        "start": started - began,
        "finish": finished - logged,
    }


def write(
    peer: str,
    folder: str,
    *,
    passes: list[tuple[int, int, int]],
    pace: float = 0.0,
    acks: str = os.devnull,
    **place: Any,
) -> None:
    """Log passes, each from a step up to another as a writer, and acknowledge each step."""
    module = _module(peer)
    acknowledged = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    _wait_for_others(acks, place.get("ranks", 1))
    log = module.start(Place(Path(folder), **place))
    for number, (first, end, writer) in enumerate(passes):
        if number and hasattr(log, "rewind"):
            log.rewind(first)
        for step in range(first, end):
            if log.log(step, values(step, writer)) is not False:
                os.write(acknowledged, b"%d\n" % step)
            time.sleep(pace)
    log.finish()


def _wait_for_others(acks: str, ranks: int) -> None:
    """Wait until every rank has come so far: then they start at one instant, as under a launcher."""
    until = time.monotonic() + _WAIT
    while ranks > 1 and len(list(Path(acks).parent.glob("*.acks"))) < ranks and time.monotonic() < until:
        time.sleep(0.01)


def nonfinite(peer: str, folder: str) -> None:
    """Log one step that is not finite, and one that is."""
    log = _module(peer).start(Place(Path(folder)))
    log.log(0, NONFINITE)
    log.log(1, dict.fromkeys(NONFINITE, 1.0))
    log.finish()


def fill(peer: str, folder: str, *, steps: int, freed_at: int, ballast: str, acks: str) -> dict[str, Any]:
    """Log on a disk that becomes full and is freed again; what was raised, and where the training stopped."""
    acknowledged = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    answer: dict[str, Any] = {"steps": 0, "raised": "", "at_end": ""}
    try:
        log = _module(peer).start(Place(Path(folder)))
        for step in range(steps):
            if step == freed_at:
                Path(ballast).unlink()
            if log.log(step, values(step)) is not False:
                os.write(acknowledged, b"%d\n" % step)
            answer["steps"] = step + 1
            time.sleep(0.001)
    except Exception as error:  # noqa: BLE001 - whatever a logger raises, it ends the training
        answer["raised"] = type(error).__name__
        return answer
    try:
        log.finish()
    except Exception as error:  # noqa: BLE001 - as above
        answer["at_end"] = type(error).__name__
    return answer


def read(peer: str, folder: str, *, more: list[str]) -> list[Any]:
    """The rows in each folder, or why they cannot be read."""
    module = _module(peer)
    found: list[Any] = []
    for each in [folder, *more]:
        try:
            found.append(module.read(Path(each)))
        except Exception as error:  # noqa: BLE001 - a log that cannot be read is a result
            found.append(f"{type(error).__name__}: {error}")
    return found


def _module(peer: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.peers.{peer}")


DO: Final[dict[str, Callable[..., Any]]] = {
    "cost": cost,
    "write": write,
    "nonfinite": nonfinite,
    "fill": fill,
    "read": read,
}


def main() -> None:
    """Do what is asked for, and answer."""
    request = json.loads(sys.argv[1])
    answer = Path(request.pop("answer"))
    result = DO[request.pop("do")](**request)
    unfinished = answer.with_suffix(".part")
    unfinished.write_text(json.dumps({"result": result}), encoding="utf-8")
    unfinished.rename(answer)


if __name__ == "__main__":
    main()
