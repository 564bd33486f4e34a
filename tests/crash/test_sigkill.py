"""SIGKILL at any moment: what was acknowledged is there, and the log goes on."""

from __future__ import annotations

import json
import queue
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from rldk.io.codec import decode
from rldk.io.validator import validate_jsonl_file
from rldk.io.writer import open_writer
from tests.runs import clean_environment, make_event

LOGS, LIVES, AT_A_TIME = 50, 4, 3
KILLER = Path(__file__).with_name("kill_writers.py")


class Killer:
    """A process that starts writers and kills them."""

    def __init__(self, stack: ExitStack) -> None:
        command, environment = [sys.executable, str(KILLER)], clean_environment()
        process = stack.enter_context(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
            )
        )
        stack.callback(process.kill)
        self._stdin, self._stdout = process.stdin, process.stdout

    def kill(self, folder: Path, seconds: float, *, big: bool) -> int:
        """Let a writer live for so long; how many events it acknowledged."""
        assert self._stdin is not None
        assert self._stdout is not None
        self._stdin.write(json.dumps({"folder": str(folder), "seconds": seconds, "big": big}) + "\n")
        return int(self._stdout.readline())


class KilledLog:
    """A log that one writer after the other is killed over."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._path = folder, folder / "r_events.jsonl"
        self._random = random.Random(number)  # noqa: S311 - moments, no secrets
        self._big = number % 4 == 0
        self._attempts = 0

    def live(self, killer: Killer) -> int:
        """Kill a writer, and check what it left; how many events it had acknowledged."""
        before = self._content()
        acknowledged = killer.kill(self._folder, self._random.uniform(0.0, 0.06), big=self._big)
        after = self._content()
        *lines, tail = after.removeprefix(before).split(b"\n")
        self._attempts += bool(lines)

        assert after.startswith(before)
        assert len(lines) - acknowledged in {0, 1}
        for seq, line in enumerate(lines):
            assert line.startswith(b'{"step":%d,"wall_time":%d.0,' % (seq, seq))
            assert b'Z","seq":%d,"metrics":{"metric_0":%d.0,' % (seq, seq) in line[:150]
        assert all(decode(line).attempt == self._attempts for line in lines[-1:])
        self._go_on(after.removesuffix(tail), tail)
        return acknowledged

    def _go_on(self, whole: bytes, tail: bytes) -> None:
        """Open the log again: one attempt more, nothing glued, the torn tail beside the log and nowhere else."""
        writer = open_writer(self._folder, run_id="r")
        written = writer.write(make_event(7))
        writer.close()
        self._attempts += 1
        report = validate_jsonl_file(self._path, strict=True)
        torn = self._path.with_name(f"r_events.jsonl.{self._attempts}.torn")

        assert written
        assert writer.attempt == self._attempts
        assert self._content().startswith(whole + b'{"step":7,"wall_time":7.0,')
        assert (torn.read_bytes() if tail else b"") == tail
        assert torn.exists() == bool(tail)
        assert report.problems == []
        assert report.lines == whole.count(b"\n") + 1

    def _content(self) -> bytes:
        return self._path.read_bytes() if self._path.exists() else b""


def test_200_kills_lose_nothing(tmp_path: Path) -> None:
    """50 logs of 4 lives, each ended by SIGKILL at a random moment: every acknowledged event is there, once, in order.

    A quarter of the logs has lines of 2 MB, which the kernel does tear.
    """
    killers: queue.SimpleQueue[Killer] = queue.SimpleQueue()

    def live(number: int) -> list[int]:
        log, killer = KilledLog(tmp_path / str(number), number), killers.get()
        try:
            acknowledged = [log.live(killer) for _ in range(LIVES)]
        finally:
            killers.put(killer)
        shutil.rmtree(tmp_path / str(number))
        return acknowledged

    with ExitStack() as stack, ThreadPoolExecutor(AT_A_TIME) as threads:
        for _ in range(AT_A_TIME):
            killers.put(Killer(stack))
        lives = [acknowledged for log in threads.map(live, range(LOGS)) for acknowledged in log]

    assert len(lives) == 200
    assert sum(acknowledged > 0 for acknowledged in lives) > 100
