"""What all adapters of consoles share."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from rldk.adapters.base import HEAD
from rldk.adapters.console import Failure, Search, find_line, is_text, last_error, spoken, strip_prefixes
from rldk.adapters.lines import Line, Piece

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "(main_task pid=123) ",
        "(TaskRunner pid=3456, ip=10.0.0.1) ",
        "(PPO(CartPole-v1) pid=7) ",
        "[rank0]: ",
        "[default3]:",
        "0: ",
        "2025-02-20 20:27:13,107 ",
        "2025-02-20T20:27:13.1234567Z ",
        "[2025-02-20 20:27:13,107] [INFO] [launch.py:319:sigkill_handler] ",
        "[INFO|trainer.py:2026] 2024-03-01 10:00:00,123 >> ",
        "2025-07-26 02:54:33,914 - __main__ - INFO - ",
        "07/26/2025 02:54:33 - INFO - mine.callbacks - ",
        "[INFO|2025-07-26 02:54:33] mine.callbacks:143 >> ",
        "2025-07-26 02:54:33.914 | INFO     | mine.loop:train:12 - ",
        "INFO:root:",
        "(main_task pid=123) [rank0]: 2025-02-20 20:27:13 ",
    ],
)
def test_prefixes(prefix: str) -> None:
    """What launchers and loggers put before a line is taken away, and nothing else."""
    assert strip_prefixes(f"{prefix}step:12 - actor/entropy:0.2") == "step:12 - actor/entropy:0.2"


def test_what_a_terminal_showed() -> None:
    """The parts between carriage returns, without colours and prefixes, each with its byte."""
    line = Line(b"\x1b[36m(task pid=1)\x1b[0m 10%|#  | 1/9 [\r   \r{'loss': 1}\r", 1, 0, whole=True)

    assert list(spoken(line)) == [Piece("10%|#  | 1/9 [", 0), Piece("{'loss': 1}", 41)]


def test_a_line_far_behind_the_head(tmp_path: Path) -> None:
    """A line is found where the head does not reach, in a compressed file too, with its number."""
    text = b"launching\n" * 20_000 + b"x\r[rank0]: found it\n" + b"after\n"
    path = tmp_path / "run.log.gz"
    path.write_bytes(gzip.compress(text))

    assert find_line(text[:HEAD], path, b"found", lambda part: part == "found it") == Search(
        Piece("found it", 2), 20_001
    )
    assert find_line(text[:HEAD], path, b"lost", str) == Search(None, 20_002)
    assert find_line(text[:HEAD], tmp_path / "none", b"found", str) == Search(None, 0)


def test_a_file_within_its_head_is_not_opened(tmp_path: Path) -> None:
    """When the head is the whole file nothing is read; a last line may be unfinished."""
    assert find_line(b"a\nfound", tmp_path / "none", b"found", str) == Search(Piece("found", 0), 2)
    assert find_line(b"a\nb\n", tmp_path / "none", b"found", str) == Search(None, 2)
    assert find_line(b"", tmp_path / "none", b"found", str) == Search(None, 0)


_TRACE = "Traceback (most recent call last):\n  File 'a.py', line 1\n    raise\n"


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("all is well\n", None),
        ("ValueError: said in passing\n", None),
        (f"{_TRACE}ValueError: no\nmore\n", Failure("ValueError: no", 4)),
        (f"{_TRACE}KeyError: 'a'\n{_TRACE}torch.OutOfMemoryError: CUDA\n", Failure("torch.OutOfMemoryError: CUDA", 8)),
        (
            f"{_TRACE}RuntimeError: why\n{_TRACE}subprocess.CalledProcessError: Command\n",
            Failure("RuntimeError: why", 4),
        ),
        (f"{_TRACE}ray.exceptions.RayTaskError(KeyError): x\n", Failure("ray.exceptions.RayTaskError(KeyError): x", 4)),
        ("[rank1]: " + _TRACE + "[rank1]: KeyboardInterrupt\n", Failure("KeyboardInterrupt", 4)),
        (f"{_TRACE}ValueError: {'x' * 300}\n", Failure(f"ValueError: {'x' * 105}...", 4)),
    ],
)
def test_the_error_that_ended_it(text: str, failure: Failure | None, tmp_path: Path) -> None:
    """The exception of the last traceback, one of the training before one of its launcher."""
    assert last_error(text.encode(), tmp_path / "none") == failure


def test_text() -> None:
    """A console may hold control characters; a NUL byte is in every binary log."""
    assert is_text(b"\x1b[32mloss\x07\x19")
    assert not is_text(b"loss\0")
    assert not is_text(b" \n")
