"""Compressing sealed segments: nothing is lost by it, and no damage to one goes unseen."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

import pytest
import zstandard

from rldk.errors import MissingExtraError
from rldk.io.compression import DamagedSegmentError, check_available, compress, open_segment
from rldk.io.segments import COMPRESSIONS
from tests.runs import files, run_python

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.io.segments import Compression

NAMES: Final = {"gz": "gzip", "zst": "zstd"}
TEXT: Final = b"".join(b'{"step":%d,"loss":0.%d}\n' % (step, step * 7919 % 1000) for step in range(2000))

each = pytest.mark.parametrize("how", COMPRESSIONS)


def _segment(folder: Path, text: bytes = TEXT) -> Path:
    path = folder / "r1_events.000001.jsonl"
    path.write_bytes(text)
    return path


def _packed(text: bytes, how: str) -> bytes:
    """One frame as this project writes it."""
    if how == "gz":
        return gzip.compress(text, 6, mtime=0)
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(text)


def _read(path: Path) -> tuple[bytes, str]:
    """What a segment gives, and what is said of it when it ends in damage."""
    given = b""
    with open_segment(path) as file:
        try:
            while chunk := file.read(1000):
                given += chunk
        except DamagedSegmentError as error:
            return given, str(error)
    return given, ""


@each
@pytest.mark.parametrize("size", [0, 1, len(TEXT), 3 * 2**20 + 1])
def test_what_is_compressed_is_read_as_it_was(tmp_path: Path, how: Compression, size: int) -> None:
    """Empty, small and of several chunks: the bytes are the same, and the compressed file is all there is."""
    text = (TEXT * (size // len(TEXT) + 1))[:size]
    path = _segment(tmp_path, text)
    compressed = compress(path, how)

    assert compressed == tmp_path / f"r1_events.000001.jsonl.{how}"
    assert [each.name for each in tmp_path.iterdir()] == [compressed.name]
    assert _read(compressed) == (text, "")


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    """The files are gzip and zstd as everybody's, with the size and a checksum in a zstd frame."""
    packed = compress(_segment(tmp_path), "zst")
    assert packed
    frame = zstandard.get_frame_parameters(packed.read_bytes())
    zipped = compress(_segment(tmp_path), "gz")

    assert zipped
    assert gzip.decompress(zipped.read_bytes()) == TEXT
    assert zstandard.ZstdDecompressor().decompress(packed.read_bytes()) == TEXT
    assert (frame.content_size, frame.has_checksum) == (len(TEXT), True)


@each
def test_equal_segments_are_compressed_to_equal_bytes(tmp_path: Path, how: Compression) -> None:
    """Nothing of the time or the name is in the file."""
    found = []
    for name in ("a_events.000001.jsonl", "b_events.000002.jsonl"):
        path = tmp_path / name
        path.write_bytes(TEXT)
        os.utime(path, (len(found), len(found)))
        compressed = compress(path, how)
        assert compressed
        found.append(compressed.read_bytes())

    assert found[0] == found[1]


@each
def test_mode_and_time_are_those_of_the_plain_file(tmp_path: Path, how: Compression) -> None:
    """Who may read a log, and when it was written, is not changed by compressing it."""
    path = _segment(tmp_path)
    path.chmod(0o640)
    os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    compressed = compress(path, how)

    assert compressed
    assert stat.S_IMODE(compressed.stat().st_mode) == 0o640
    assert compressed.stat().st_mtime_ns == 2_000_000_002


@each
def test_what_an_earlier_crash_left_is_replaced(tmp_path: Path, how: Compression) -> None:
    """A temporary file of old, and a compressed file beside its plain one, do not stand in the way."""
    path = _segment(tmp_path)
    (tmp_path / f".rldk-{path.name}.{how}").write_bytes(b"half")
    (tmp_path / f"{path.name}.{how}").write_bytes(b"old")
    compressed = compress(path, how)

    assert compressed
    assert _read(compressed) == (TEXT, "")
    assert len(list(tmp_path.iterdir())) == 1


@each
@pytest.mark.parametrize("asked", range(1, 7))
def test_it_can_be_called_off(tmp_path: Path, how: Compression, asked: int) -> None:
    """While it writes and while it reads back: the plain file stays and the temporary one goes."""
    path = _segment(tmp_path, TEXT * 50)
    before = files(tmp_path)
    assert 2 * 2**20 < len(before[path.name]) < 3 * 2**20
    answers = iter([False] * (asked - 1) + [True] * 9)

    assert compress(path, how, stop=lambda: next(answers)) is None
    assert files(tmp_path) == before


@each
@pytest.mark.parametrize("step", ["fsync", "fchmod", "utime", "rename"])
def test_an_error_leaves_the_plain_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Compression, step: str
) -> None:
    """What the system refuses is raised, and the temporary file is gone."""
    path = _segment(tmp_path)
    before = files(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(OSError, match="No space left on device"):
        compress(path, how)

    assert files(tmp_path) == before


@each
def test_what_cannot_be_read_back_takes_nobodys_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Compression
) -> None:
    """A disk, or a memory, that changed a bit is noticed before the plain file is removed."""
    path = _segment(tmp_path)
    fsync = os.fsync

    def spoil(fd: int) -> None:
        os.ftruncate(fd, os.pwrite(fd, _packed(TEXT.replace(b"7", b"8", 1), how), 0))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", spoil)
    with pytest.raises(OSError, match="what was read back is not what was written") as caught:
        compress(path, how)

    assert caught.value.filename == str(tmp_path / f".rldk-{path.name}.{how}")
    assert files(tmp_path) == {path.name: TEXT}


@each
@pytest.mark.parametrize("change", [b"more\n", None])
def test_a_file_that_is_still_written_to_is_left_alone(tmp_path: Path, how: Compression, change: bytes | None) -> None:
    """Whether it grows or is cut: only what stays as it is can be sealed."""
    path = _segment(tmp_path, TEXT * 100)

    def meddle() -> bool:
        if change:
            with path.open("ab") as file:
                file.write(change)
        else:
            os.truncate(path, 2**20 + 5)
        return False

    with pytest.raises(OSError, match="the segment is still being written") as caught:
        compress(path, how, stop=meddle)

    assert caught.value.filename == str(path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@each
def test_nothing_at_the_path_is_an_error(tmp_path: Path, how: Compression) -> None:
    """As for any other file, and nothing is left of the attempt."""
    with pytest.raises(FileNotFoundError):
        compress(tmp_path / "r1_events.000001.jsonl", how)
    with pytest.raises(FileNotFoundError):
        open_segment(tmp_path / f"r1_events.000001.jsonl.{how}")

    assert list(tmp_path.iterdir()) == []


DYING: Final = """
import os, sys
from pathlib import Path
from rldk.io.compression import compress

path, how, fatal = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
done = 0

def step(*_):
    global done
    if done == fatal:
        os._exit(9)
    done += 1
    return False

def dying(call):
    return lambda *args, **kwargs: step() or call(*args, **kwargs)

for name in ("fsync", "fchmod", "utime", "rename", "unlink", "open"):
    setattr(os, name, dying(getattr(os, name)))
compress(path, how, stop=step)
"""


@each
def test_a_crash_before_any_step_leaves_a_good_segment(tmp_path: Path, how: Compression) -> None:
    """Plain or compressed, all of it is there under one of its names; compressing again then ends the work."""
    steps = 0
    while True:
        folder = tmp_path / str(steps)
        folder.mkdir()
        path, compressed = _segment(folder), folder / f"r1_events.000001.jsonl.{how}"
        done = run_python("-c", DYING, path, how, str(steps))
        if path.exists():
            assert path.read_bytes() == TEXT
        else:
            assert _read(compressed) == (TEXT, "")
        assert not compressed.exists() or _read(compressed) == (TEXT, "")
        if done.returncode == 0:
            break
        assert (done.returncode, done.stderr) == (9, "")
        if path.exists():
            compress(path, how)
        assert files(folder).keys() == {compressed.name}
        steps += 1

    assert steps >= 10


@each
def test_a_compressed_file_cut_at_every_byte_says_so(tmp_path: Path, how: Compression) -> None:
    """It gives the beginning of what was in it and then raises; it never ends as if it were whole."""
    whole = _packed(TEXT[:2000], how)
    path = tmp_path / f"x.jsonl.{how}"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        given, said = _read(path)
        found = f"the end of the file in the middle of it, at byte {cut}" if cut else "an empty file"

        assert TEXT.startswith(given)
        assert said == f"{path}: expected whole {NAMES[how]} data, found {found}"


def test_what_was_whole_of_a_cut_file_is_given(tmp_path: Path) -> None:
    """Of a long one the beginning can be had, up to near the cut."""
    for how in COMPRESSIONS:
        path = tmp_path / f"x.jsonl.{how}"
        path.write_bytes(_packed(TEXT * 100, how)[:-40])
        given, said = _read(path)

        assert len(given) > len(TEXT) * 50
        assert (TEXT * 100).startswith(given)
        assert said


@each
def test_no_flipped_bit_changes_what_is_read(tmp_path: Path, how: Compression) -> None:
    """With one bit flipped a file is refused, or it was a bit that has no part in what the file holds."""
    whole = _packed(TEXT[:500], how)
    path = tmp_path / f"x.jsonl.{how}"
    refused = 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        given, said = _read(path)
        refused += bool(said)

        assert said or given == TEXT[:500]
    assert refused > 8 * len(whole) * 0.9


@each
def test_damage_tells_where_and_what(tmp_path: Path, how: Compression) -> None:
    """The error has the path, what was expected and what was found, as a sentence and as attributes."""
    path = tmp_path / f"x.jsonl.{how}"
    path.write_bytes(b"no such data")
    reason = {
        "gz": "Error -3 while decompressing data: incorrect header check",
        "zst": "zstd decompressor error: Unknown frame descriptor",
    }[how]
    with open_segment(path) as file, pytest.raises(DamagedSegmentError) as caught:
        file.read(10)
    error = caught.value

    assert (error.path, error.expected) == (path, f"whole {NAMES[how]} data")
    assert error.found == f"damage before byte 12: {reason}"
    assert str(error) == f"{path}: expected {error.expected}, found {error.found}"


@each
def test_all_frames_are_read(tmp_path: Path, how: Compression) -> None:
    """Several files put behind each other are one; what is no frame behind the last is damage."""
    path = tmp_path / f"x.jsonl.{how}"
    path.write_bytes(_packed(TEXT, how) + _packed(b"", how) + _packed(b"more\n", how))
    whole = _read(path)
    with path.open("ab") as file:
        file.write(b"junk")
    given, said = _read(path)

    assert whole == (TEXT + b"more\n", "")
    assert given == TEXT + b"more\n"
    assert said


def test_a_frame_to_be_skipped_is_skipped(tmp_path: Path) -> None:
    """A zstd file may have frames that hold no data."""
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(b"\x50\x2a\x4d\x18\x05\0\0\0hello" + _packed(TEXT, "zst"))

    assert _read(path) == (TEXT, "")


@each
def test_memory_is_bounded_whatever_a_file_grows_to(tmp_path: Path, how: Compression) -> None:
    """Of 500 MB in a few bytes no more than 64 MB are held at a time."""
    path = tmp_path / f"x.jsonl.{how}"
    if how == "gz":
        one = gzip.compress(bytes(10**7))
        path.write_bytes(one * 50)
    else:
        path.write_bytes(zstandard.ZstdCompressor().compress(bytes(5 * 10**8)))
    size = 0
    tracemalloc.start()
    with open_segment(path) as file:
        while chunk := file.read(2**18):
            size += len(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size == 5 * 10**8
    assert peak < 64_000_000


@each
def test_a_capped_file_grows_no_further_than_a_log_does(tmp_path: Path, how: Compression) -> None:
    """What comes of it up to the bound is given, then it is damaged; without the bound it is read to its end."""
    path = tmp_path / f"x.jsonl.{how}"
    path.write_bytes(_packed(TEXT, how) + _packed(bytes(2**26), how))
    given: list[bytes] = []
    with open_segment(path, capped=True) as file, pytest.raises(DamagedSegmentError) as caught:
        given.extend(iter(lambda: file.read(2**20), b""))
    with open_segment(path) as file:
        size = sum(map(len, iter(lambda: file.read(2**20), b"")))

    assert b"".join(given)[: len(TEXT)] == TEXT
    assert 2**25 < sum(map(len, given)) <= 2**26
    assert str(caught.value) == f"{path}: expected at most {2**26} bytes in a file of this size, found more"
    assert size == len(TEXT) + 2**26


def test_a_plain_file_is_opened_as_it_is(tmp_path: Path) -> None:
    """It can be sought in, and no buffer stands between."""
    with open_segment(_segment(tmp_path)) as file:
        file.seek(-10, os.SEEK_END)

        assert file.read() == TEXT[-10:]
        assert not hasattr(file, "peek")


@each
def test_a_compressed_file_reads_as_files_do(tmp_path: Path, how: Compression) -> None:
    """As much as is asked for at most, all at once, by lines; it cannot be sought in and closes what it opened."""
    path = tmp_path / f"x.jsonl.{how}"
    path.write_bytes(_packed(TEXT, how))
    with open_segment(path) as file:
        assert file.readable()
        assert not file.seekable()
        assert os.fstat(file.fileno()).st_ino == path.stat().st_ino
        assert (file.read(5), file.readline()) == (TEXT[:5], TEXT[5 : TEXT.index(b"\n") + 1])
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(TEXT[TEXT.index(b"\n") + 1 :]).digest()
        assert file.read(1) == b""

    assert file.closed
    with pytest.raises(ValueError, match="closed file"):
        file.fileno()


def test_without_zstandard_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For reading and for writing, and before either; gzip needs nothing."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = _segment(tmp_path)
    (tmp_path / "x.jsonl.zst").write_bytes(b"")
    for work in (
        lambda: compress(path, "zst"),
        lambda: open_segment(tmp_path / "x.jsonl.zst"),
        lambda: check_available("zst"),
    ):
        with pytest.raises(MissingExtraError) as caught:
            work()
        assert str(caught.value) == "zstandard is not installed; install it with: pip install 'rldk[zstd]'"

    check_available("gz")
    assert compress(path, "gz")
