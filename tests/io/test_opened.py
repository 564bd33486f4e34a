"""Opening the files of a log while its writer rotates, compresses and removes them."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest

from rldk.errors import MissingExtraError
from rldk.io import opened as module
from rldk.io import segments
from rldk.io.compression import compress
from rldk.io.opened import newest_first, opened
from rldk.io.segments import Log, Sealed, log_path, run_log, sealed_path, sealed_segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rldk.io.opened import Opened
    from rldk.io.segments import Compression


class Writer:
    """Does what the writer of a log does to its files. A file holds its number in the log, as a line."""

    def __init__(self, folder: Path) -> None:
        self.log: Final = Log(log_path(folder, "r1"), "r1", 0)
        self.number = 0
        self.begin()

    def begin(self) -> None:
        """Make the next live file."""
        self.log.path.write_bytes(b"%d\n" % (self.number + 1))
        self.number += 1

    def rotate(self) -> None:
        """Seal the live file, and make the next."""
        self.log.path.rename(sealed_path(self.log, self.number))
        self.begin()

    def compress(self, number: int, how: Compression = "zst") -> None:
        """Compress a sealed segment."""
        compress(sealed_path(self.log, number), how)

    def remove(self) -> None:
        """Remove the oldest sealed segment."""
        sealed_segments(self.log)[0].path.unlink()


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """A log of one plain, one gzip and one zstd segment and the live file."""
    writer = Writer(tmp_path)
    for _ in range(3):
        writer.rotate()
    writer.compress(2, "gz")
    writer.compress(3)
    return writer


def _read(files: Iterator[Opened]) -> list[int]:
    return [int(line) for segment in files for line in segment.file.read().splitlines()]


def test_the_files_of_a_log_are_opened_oldest_first(writer: Writer) -> None:
    """Each with its path and its number, from its beginning; it is closed when the next is asked for."""
    found = []
    files = []
    for segment in opened(writer.log):
        found.append((segment.path.name, segment.number, segment.file.read()))
        files.append(segment.file)

    assert found == [
        ("r1_events.000001.jsonl", 1, b"1\n"),
        ("r1_events.000002.jsonl.gz", 2, b"2\n"),
        ("r1_events.000003.jsonl.zst", 3, b"3\n"),
        ("r1_events.jsonl", None, b"4\n"),
    ]
    assert all(file.closed for file in files)
    assert _read(newest_first(writer.log)) == [4, 3, 2, 1]


def test_a_single_file_is_opened_alone(writer: Writer, tmp_path: Path) -> None:
    """A segment by its own path, and a file of any name."""
    (tmp_path / "r1_events.txt").write_bytes(b"9\n")

    for path, line in ((sealed_path(writer.log, 2, "gz"), 2), (tmp_path / "r1_events.txt", 9)):
        assert _read(opened(run_log(path))) == [line]
        assert _read(newest_first(run_log(path))) == [line]
    assert [each.number for each in opened(run_log(sealed_path(writer.log, 2, "gz")))] == [2]


def test_a_log_that_was_sealed_to_its_end_has_no_live_file(writer: Writer) -> None:
    """Its segments are all there is of it; without one, too, nothing is there to open."""
    writer.log.path.unlink()
    sealed = _read(opened(writer.log)), _read(newest_first(writer.log))
    for each in sealed_segments(writer.log):
        each.path.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        next(opened(writer.log))

    assert sealed == ([1, 2, 3], [3, 2, 1])
    assert caught.value.filename == str(writer.log.path)
    assert _read(newest_first(writer.log)) == []


def test_a_hole_in_the_numbers_is_passed_over(writer: Writer) -> None:
    """What is missing is for `rldk verify` to tell."""
    sealed_path(writer.log, 2, "gz").unlink()

    assert _read(opened(writer.log)) == [1, 3, 4]


def _while_reading(files: Iterator[Opened], first: int, work: Callable[[], None]) -> list[int]:
    """What is read when this is done while the file with this line is open."""
    found = []
    for segment in files:
        (line,) = map(int, segment.file.read().splitlines())
        found.append(line)
        if line == first:
            work()
    return found


def test_a_live_file_sealed_before_its_turn_is_read_all_the_same(writer: Writer) -> None:
    """It is the end of the log as it was at first, with what was added to it; it may even be removed by then."""

    def rotate() -> None:
        with writer.log.path.open("ab") as file:
            file.write(b"44\n")
        writer.rotate()
        writer.rotate()
        writer.compress(4)
        for _ in range(4):
            writer.remove()

    found = []
    for segment in opened(writer.log):
        found.append((segment.path, segment.number, segment.file.read()))
        if len(found) == 1:
            rotate()

    assert found == [(sealed_path(writer.log, 1), 1, b"1\n"), (writer.log.path, None, b"4\n44\n")]


def test_a_live_file_sealed_while_it_is_read_is_the_end(writer: Writer) -> None:
    """What comes after it is for the next reader."""
    assert _while_reading(opened(writer.log), 4, writer.rotate) == [1, 2, 3, 4]


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_rotation_between_opening_and_listing_loses_nothing(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    """What was opened as the live file is among the sealed ones by then; each file is given once, in order."""
    open_file, last = module._open_file, writer.number + rounds

    def rotating(path: Path) -> Opened | None:
        found = open_file(path)
        if path == writer.log.path and writer.number < last:
            writer.rotate()
        return found

    monkeypatch.setattr(module, "_open_file", rotating)

    assert _read(opened(writer.log)) == list(range(1, last + 1))


@pytest.mark.parametrize("begun", [True, False])
def test_a_live_file_that_comes_while_the_others_are_listed_is_read(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, *, begun: bool
) -> None:
    """In the middle of a rotation, or because a writer opens a log that was sealed to its end."""
    writer.log.path.rename(sealed_path(writer.log, 4))

    def listing(log: Log) -> list[Sealed]:
        if begun:
            writer.begin()
            monkeypatch.setattr(segments, "sealed_segments", sealed_segments)
        return sealed_segments(log)

    monkeypatch.setattr(segments, "sealed_segments", listing)

    assert _read(opened(writer.log)) == [1, 2, 3, 4, *[5] * begun]


def test_a_rotation_half_done_loses_nothing(writer: Writer) -> None:
    """Between the renaming of the live file and the making of the next there is none."""
    writer.log.path.rename(sealed_path(writer.log, 4))

    assert _read(opened(writer.log)) == [1, 2, 3, 4]


def test_a_segment_compressed_meanwhile_is_looked_for_again(writer: Writer) -> None:
    """It is read from the file that took its place."""
    writer.rotate()

    assert _while_reading(opened(writer.log), 1, lambda: writer.compress(4, "gz")) == [1, 2, 3, 4, 5]


def test_a_segment_that_the_list_had_not_is_in_the_next_list(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list made while a segment is compressed may have it under neither name."""
    lists = [sealed_segments(writer.log)[1:], sealed_segments(writer.log)]
    monkeypatch.setattr(segments, "sealed_segments", lambda log: lists.pop(0) if lists else sealed_segments(log))

    assert _read(opened(writer.log)) == [1, 2, 3, 4]


def test_a_segment_removed_meanwhile_is_passed_over(writer: Writer) -> None:
    """Retention takes the oldest away; the one being read is read to its end."""

    def remove() -> None:
        writer.remove()
        writer.remove()

    assert _while_reading(opened(writer.log), 1, remove) == [1, 3, 4]
    writer.rotate()
    assert _while_reading(newest_first(writer.log), 5, writer.remove) == [5, 4]


def test_a_segment_that_is_there_twice_is_read_once(writer: Writer) -> None:
    """A crash can leave it plain and compressed."""
    compressed = sealed_path(writer.log, 1, "gz")
    compressed.write_bytes(b"half of it")

    assert [segment.path for segment in opened(writer.log)][:1] == [sealed_path(writer.log, 1)]


def test_without_zstandard_only_what_needs_it_is_refused(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that is gone is not taken for one that cannot be read."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    files = opened(writer.log)
    given = [next(files).number, next(files).number]
    with pytest.raises(MissingExtraError):
        next(files)
    writer.remove()
    sealed_path(writer.log, 3, "zst").unlink()

    assert given == [1, 2]
    assert _read(opened(writer.log)) == [2, 4]


def test_a_log_is_read_whole_while_its_writer_is_busy(tmp_path: Path) -> None:
    """Whenever one begins to read, the numbers are without gap and repetition and reach to what was live then."""
    writer = Writer(tmp_path)
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            writer.rotate()
            sealed = sealed_segments(writer.log)
            if sealed[-1].number % 2:
                writer.compress(sealed[-1].number, "gz")
            if len(sealed) > 50:
                writer.remove()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(80):
            least = writer.number
            found = _read(opened(writer.log))
            # What was removed before its turn is not missed.
            oldest = min((each.number for each in sealed_segments(writer.log)), default=0)
            kept = [number for number in found if number >= oldest]
            assert found == sorted(set(found))
            assert kept == list(range(kept[0], kept[-1] + 1))
            assert kept[-1] >= least
            assert _read(newest_first(writer.log))[0] >= least
    finally:
        stopping.set()
        thread.join()
