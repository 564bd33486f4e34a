"""Records are read with their checksums, and an unfinished end is told from damage."""

from __future__ import annotations

import gzip
import random
import struct
import time
from typing import TYPE_CHECKING

import pytest

from rldk.adapters.base import Bad
from rldk.adapters.tfrecord import MAX_RECORD, Record, crc32c, records, whole_records
from tests.adapters.event_file import checksum, record

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, content: bytes) -> list[Record | Bad]:
    """What is read of a file with this content."""
    path.write_bytes(content)
    return list(records(path))


def said(items: list[Record | Bad]) -> list[bytes | str]:
    """The data of each record, and what is said of each that is bad."""
    return [str(each.problem.error()) if isinstance(each, Bad) else each.data for each in items]


def test_the_checksum_is_crc_32c() -> None:
    """The check value of the standard and those of RFC 3720 come out."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"\0" * 32) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_the_checksum_is_fast_enough() -> None:
    """A MiB takes well under a second, on a machine that does other things beside."""
    data = random.Random(1).randbytes(2**20)  # noqa: S311 - bytes, no secrets
    began = time.perf_counter()
    crc32c(data)

    assert time.perf_counter() - began < 0.7


def test_records_are_read_with_their_place(tmp_path: Path) -> None:
    """Each record has its number and the byte where its data begins."""
    items = read(tmp_path / "f", record(b"one") + record(b"") + record(b"three"))

    assert items == [Record(b"one", 1, 12), Record(b"", 2, 31), Record(b"three", 3, 47)]


def test_a_file_cut_anywhere_has_a_torn_tail(tmp_path: Path) -> None:
    """Cut at any byte, the whole records are read, and the rest is one torn tail unless nothing is left."""
    content = record(b"one") + record(b"two")
    for end in range(len(content)):
        items = read(tmp_path / "f", content[:end])
        whole, rest = divmod(end, len(content) // 2)
        assert [each.data for each in items if isinstance(each, Record)] == [b"one", b"two"][:whole]
        assert [each.problem.kind for each in items if isinstance(each, Bad)] == ["torn_tail"] * (rest > 0)


def test_a_torn_tail_says_what_is_missing(tmp_path: Path) -> None:
    """The message says how many bytes were expected and how many there are."""
    assert said(read(tmp_path / "f", record(b"one") + record(b"two")[:13]))[1] == (
        "<line>:2:19: expected 7 bytes of data and checksum, found 1 until the file ends: it was cut short, "
        "or is still being written [torn_tail]"
    )
    (torn,) = said(read(tmp_path / "f", b"abc"))
    assert torn == (
        "<line>:1:0: expected 12 bytes of length and checksum, found 3 until the file ends: it was cut short, "
        "or is still being written [torn_tail]"
    )


def test_nul_bytes_to_the_end_are_a_torn_tail(tmp_path: Path) -> None:
    """What a power cut leaves of a file is an unfinished end, not damage in its middle."""
    assert said(read(tmp_path / "f", record(b"one") + b"\0" * 1000))[1] == (
        "<line>:2:19: expected a record, found 1000 NUL bytes until the file ends: the disk lost what was written, "
        "as after a power cut [torn_tail]"
    )


def test_damaged_data_is_passed_over(tmp_path: Path) -> None:
    """A record whose data was changed is bad, and the next one is read."""
    damaged = bytearray(record(b"one") + record(b"two"))
    damaged[12] ^= 1
    items = said(read(tmp_path / "f", bytes(damaged)))

    assert items[1:] == [b"two"]
    assert items[0] == (
        f"<line>:1:12: expected data whose checksum is 0x{int.from_bytes(checksum(b'one'), 'little'):08x}, "
        f"as the record says, found 0x{int.from_bytes(checksum(b'nne'), 'little'):08x}: "
        "its bytes were changed [bad_checksum]"
    )


def test_after_a_damaged_length_nothing_can_be_read(tmp_path: Path) -> None:
    """Where the next record begins is not known then, and the message says so."""
    damaged = bytearray(record(b"one") + record(b"two") + record(b"three"))
    damaged[19] ^= 1
    items = said(read(tmp_path / "f", bytes(damaged)))

    assert items[0] == b"one"
    assert len(items) == 2
    assert str(items[1]).endswith(
        ": where the next record begins is not known, and the last 40 bytes of the file cannot be read in any mode "
        "[bad_checksum]"
    )


def test_a_length_beyond_reason_takes_no_memory(tmp_path: Path) -> None:
    """A record that says it is larger than any is refused before it is read."""
    length = struct.pack("<Q", 2**63)
    items = said(read(tmp_path / "f", length + checksum(length) + b"abc"))

    assert items == [
        f"<line>:1:0: expected a record of at most {MAX_RECORD} bytes, found one of {2**63} bytes [bad_record]"
    ]


def test_a_record_beyond_reason_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after it is read."""
    monkeypatch.setattr("rldk.adapters.tfrecord.MAX_RECORD", 3)
    items = said(read(tmp_path / "f", record(b"large") + record(b"two")))

    assert items == ["<line>:1:0: expected a record of at most 3 bytes, found one of 5 bytes [bad_record]", b"two"]


def test_large_records_are_read(tmp_path: Path) -> None:
    """A record that is larger than what is read at a time comes whole."""
    data = bytes(2**19)

    assert said(read(tmp_path / "f", record(data) + record(b"two"))) == [data, b"two"]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    """A file whose name ends in .gz is decompressed, and one cut short says so behind its last whole record."""
    data = random.Random(3).randbytes(4000)  # noqa: S311 - bytes, no secrets
    whole = gzip.compress(record(b"one") + record(data))

    assert said(read(tmp_path / "f.gz", whole)) == [b"one", data]
    cut = read(tmp_path / "f.gz", whole[:2000])
    assert [each.problem.kind if isinstance(each, Bad) else each.data for each in cut] == [b"one", "bad_compression"]


def test_the_whole_records_of_a_beginning() -> None:
    """Of the first bytes of a file, the records that are whole and undamaged are shown."""
    damaged = bytearray(record(b"one") + record(b"two") + record(b"three"))
    damaged[12] ^= 1

    assert list(whole_records(damaged[:-1])) == [b"two"]
    assert list(whole_records(b"{}")) == []


@pytest.mark.parametrize("seed", range(4))
def test_mutations_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Whatever is changed, what comes is records and things that are bad, and every undamaged record is one written."""
    chance = random.Random(seed)  # noqa: S311 - bytes, no secrets
    written = [chance.randbytes(chance.randrange(30)) for _ in range(8)]
    whole = b"".join(map(record, written))
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        items = read(tmp_path / "f", bytes(content[: chance.randrange(len(content))]))
        assert all(isinstance(each, Bad) or each.data in written for each in items)
