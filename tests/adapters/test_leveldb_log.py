"""Records are put together from their pieces, and an unfinished end is told from damage."""

from __future__ import annotations

import gzip
import random
import time
from typing import TYPE_CHECKING

from rldk.adapters.base import Bad
from rldk.adapters.leveldb_log import BLOCK, MAX_RECORD, Record, records
from tests.adapters.wandb_file import framed

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b"HEADER!"


def read(path: Path, content: bytes) -> list[Record | Bad]:
    """What is read of a file with this content."""
    path.write_bytes(content)
    return list(records(path, HEADER))


def kinds(items: list[Record | Bad]) -> list[bytes | str]:
    """The beginning of each record's data, and the kind of each that is bad."""
    return [each.problem.kind if isinstance(each, Bad) else each.data[:5] for each in items]


def said(item: Record | Bad) -> str:
    """What is said of a record that is bad."""
    return str(item.problem.error()) if isinstance(item, Bad) else "a record"


def test_records_are_read_with_their_place(tmp_path: Path) -> None:
    """Each has its number and the byte where its first piece begins; empty ones are records too."""
    assert read(tmp_path / "f", framed([b"one", b"", b"three"], HEADER)) == [
        *(Record(b"one", 1, 7), Record(b"", 2, 17), Record(b"three", 3, 24))
    ]


def test_a_record_may_take_several_blocks(tmp_path: Path) -> None:
    """Whatever its length, and wherever in a block it begins."""
    chance = random.Random(1)  # noqa: S311 - sizes, no secrets
    sizes = [BLOCK - 14, BLOCK - 7, 3, BLOCK * 3, BLOCK - 30, *range(9), *(chance.randrange(70_000) for _ in range(40))]
    data = [chance.randbytes(size) for size in sizes]

    items = read(tmp_path / "f", framed(data, HEADER))

    assert [each.data for each in items if isinstance(each, Record)] == data
    assert [each.data for each in records_of_gzip(tmp_path / "f.gz", framed(data, HEADER))] == data


def records_of_gzip(path: Path, content: bytes) -> list[Record]:
    """The records of a compressed file."""
    path.write_bytes(gzip.compress(content))
    return [each for each in records(path, HEADER) if isinstance(each, Record)]


def test_a_file_cut_anywhere_has_a_torn_tail(tmp_path: Path) -> None:
    """Cut at any byte, the whole records are read, and the rest is one torn tail unless nothing is left."""
    content = framed([b"one", b"x" * 40], HEADER)
    for end in range(len(HEADER), len(content)):
        whole = [b"one"] if end >= 17 else []
        torn = [] if end in {7, 17} else ["torn_tail"]
        assert kinds(read(tmp_path / "f", content[:end])) == whole + torn, end


def test_a_cut_between_the_pieces_of_a_record_is_a_torn_tail(tmp_path: Path) -> None:
    """Its first pieces are whole, and still it is none."""
    content = framed([b"one", b"x" * BLOCK * 2], HEADER)

    items = read(tmp_path / "f", content[: BLOCK * 2])
    assert kinds(items) == [b"one", "torn_tail"]
    assert said(items[1]) == ("<line>:2:17: expected the last piece of a record, found the end of the file [torn_tail]")


def test_a_flipped_bit_is_found_and_the_next_record_read(tmp_path: Path) -> None:
    """A piece whose length is intact is passed over alone."""
    content = bytearray(framed([b"one", b"two", b"three"], HEADER))
    content[25] ^= 1

    items = read(tmp_path / "f", bytes(content))
    assert kinds(items) == [b"one", "bad_checksum", b"three"]
    checksum = int.from_bytes(content[17:21], "little")
    expected = f"the checksum 0x{checksum:08x} of a piece of 3 bytes"
    assert said(items[1]) == (f"<line>:2:17: expected {expected}, found another: its bytes were changed [bad_checksum]")


def test_a_damaged_length_costs_the_rest_of_the_block(tmp_path: Path) -> None:
    """Nobody knows where the next piece begins; the next block is read."""
    data = [b"%05d" % number + b"x" * 1000 for number in range(70)]
    content = bytearray(framed(data, HEADER))
    content[7 + 1012 + 4] ^= 0x10

    items = read(tmp_path / "f", bytes(content))
    assert kinds(items)[:2] == [b"00000", "bad_checksum"]
    assert kinds(items)[2:][0] in {b"00033", "bad_record"}
    assert kinds(items)[-1] == b"00069"


def test_nul_bytes_at_the_end_are_a_torn_tail(tmp_path: Path) -> None:
    """A disk that lost power leaves them; inside the file they are damage."""
    content = framed([b"one"], HEADER)

    assert kinds(read(tmp_path / "f", content + bytes(3))) == [b"one", "torn_tail"]
    assert kinds(read(tmp_path / "f", content + bytes(100_000))) == [b"one", "torn_tail"]
    block = content + bytes(BLOCK - len(content))
    assert kinds(read(tmp_path / "f", block + framed([b"two"]))) == [b"one", "bad_record", b"two"]


def test_a_piece_that_belongs_to_nothing_is_bad(tmp_path: Path) -> None:
    """The end of a record whose beginning is missing, and a record that is never ended."""
    long = framed([b"x" * BLOCK], HEADER)

    assert kinds(read(tmp_path / "f", HEADER + bytes(BLOCK - 7) + long[BLOCK:])) == ["bad_record"]
    assert kinds(read(tmp_path / "f", long[:BLOCK] + framed([b"one"]))) == ["bad_record", b"one"]


def test_a_record_of_many_pieces_is_bounded(tmp_path: Path) -> None:
    """Memory does not grow with it, and the record after it is read."""
    items = read(tmp_path / "f", framed([bytes(MAX_RECORD + 1), b"one"], HEADER))

    assert kinds(items) == ["bad_record", b"one"]


def test_hostile_files_take_little_time(tmp_path: Path) -> None:
    """Many empty pieces, and bytes of chance."""
    began = time.perf_counter()
    read(tmp_path / "f", framed([b""] * 100_000, HEADER))
    read(tmp_path / "f", HEADER + random.Random(1).randbytes(2**22))  # noqa: S311 - bytes, no secrets

    assert time.perf_counter() - began < 2
