"""Each kind of damage a log can have, and where it is told."""

from __future__ import annotations

import gzip
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
import zstandard

from rldk.errors import InvalidLineError
from rldk.io.codec import encode
from rldk.io.event_schema import MAX_LINE
from rldk.io.problems import KINDS
from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from tests.samples import an_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rldk.io.event_schema import Event

FIRST, LINE, THIRD = (encode(an_event(step)) for step in range(3))


FOREIGN = {"bad_checksum", "bad_record", "bad_row", "too_large"}
"""What can be wrong with the logs of other tools only; tests/adapters provokes it."""


class Damage(NamedTuple):
    """A damaged log, and the one problem that is to be found in it."""

    name: str
    log: bytes
    kind: str
    line: int
    byte: int
    message: str
    file: str = "r1_events.jsonl"


def _in_a_line(name: str, old: bytes, new: bytes, kind: str, found_at: tuple[bytes, str]) -> Damage:
    """Damage to the second of three lines. The problem is where the bytes given stand in it, `...` what is shown."""
    line = LINE.replace(old, new, 1)
    assert line != LINE, name
    at = line.index(found_at[0])
    shown = line[at : at + 40].decode(errors="ignore").rstrip()
    return Damage(name, FIRST + line + THIRD, kind, 2, len(FIRST) + at, found_at[1].replace("...", shown))


def _not_json() -> Iterator[Damage]:
    kind = "bad_json"
    for name, old, new, at, expected in (
        ("no quote", b'"seq"', b'"seq', b'metrics"', "`:`"),
        ("no colon", b'"seq":', b'"seq"', b'1,"metrics"', "`:`"),
        ("no comma", b',"seq"', b'"seq"', b'"seq"', "`,` or `}`"),
        ("trailing comma", b"0.25}", b"0.25,}", b'},"rng"', "a string"),
        ("trailing comma in a list", b"[]", b'["a: b",]', b"]}", "a value"),
        ("leading zero", b'"step":1', b'"step":01', b'1,"wall', "`,` or `}`"),
        ("no digit after the point", b"1.5", b"1.", b'.,"timestamp"', "`,` or `}`"),
        ("single quotes", b'"seed"', b"'seed'", b"'seed'", "a string"),
        ("Python's True", b"42", b"True", b"True", "a value"),
        ("comment", b"[]}", b"[]} // end", b"//", "the end of the line"),
        ("two documents", b"[]}", b"[]}{}", b"{}", "the end of the line"),
        ("raw control character", b'"r1"', b'"r\t1"', b'"r\t1"', "a string"),
        ("unknown escape", b'"r1"', b'"\\r\\1"', b'"\\r\\1"', "a string"),
    ):
        yield _in_a_line(name, old, new, kind, (at, f"expected {expected}, found ..."))
    for name, line, at, message in (
        ("no JSON at all", b"step 1: loss 0.5\n", 0, "expected a value, found step 1: loss 0.5"),
        ("cut at a value", b'{"step":\n', 8, "expected a value, found the end of the line"),
        ("cut in an object", b'{"step":1\n', 9, "expected `,` or `}`, found the end of the line"),
        ("NUL bytes", b"\0" * 99 + b"\n", 0, "expected a value, found " + "\0" * 40),
    ):
        yield Damage(name, FIRST + line + THIRD, kind, 2, len(FIRST) + at, message)
    message = f"expected the end of the line, found {LINE[:40].decode()}"
    yield Damage("glued lines", FIRST[:-1] + LINE, kind, 1, len(FIRST) - 1, message)


def _other_bytes() -> Iterator[Damage]:
    start, continuation = ("expected UTF-8, found byte 0x{} (invalid {} byte)".format for _ in range(2))
    for name, old, new, byte, message in (
        ("in a string", b'"r1"', b'"r\xff1"', b"\xff", start("ff", "start")),
        ("in a timestamp", b"2026", b"2\xff26", b"\xff", start("ff", "start")),
        ("in a name", b"loss", b"l\xc3ss", b"\xc3", continuation("c3", "continuation")),
        ("a surrogate", b'"r1"', b'"\xed\xa0\x80"', b"\xed", continuation("ed", "continuation")),
    ):
        yield _in_a_line(f"invalid UTF-8: {name}", old, new, "invalid_utf8", (byte, message))
    message = 'expected whole characters, found "\\ud800"'
    yield _in_a_line("lone surrogate", b'"r1"', b'"\\ud800"', "lone_surrogate", (b'"\\ud800"', message))
    mark = "expected JSON, found a UTF-8 byte order mark"
    yield _in_a_line("byte order mark", b'{"step"', b'\xef\xbb\xbf{"step"', "byte_order_mark", (b"\xef", mark))
    yield Damage("byte order mark of the file", b"\xef\xbb\xbf" + FIRST + LINE, "byte_order_mark", 1, 0, mark)
    for name, kind, line, at, message in (
        ("blank line", "blank_line", b"\n", 0, "expected an event, found nothing"),
        ("line of white space", "blank_line", b" \t\r\n", 0, "expected an event, found 3 bytes of white space"),
        ("a number", "not_an_object", b"7\n", 0, "$: expected an object, found integer 7"),
        ("a list", "not_an_object", b" [1]\n", 1, "$: expected an object, found a list"),
    ):
        yield Damage(name, FIRST + line + THIRD, kind, 2, len(FIRST) + at, message)


def _numbers() -> Iterator[Damage]:
    for word in (b"NaN", b"Infinity", b"-Infinity"):
        message = "expected null, with the value spelled out in `nonfinite`, found " + word.decode()
        yield _in_a_line(f"bare {word.decode()}", b"0.25", word, "bare_nonfinite", (word, message))
    kind = "number_out_of_range"
    yield _in_a_line("no double", b"0.25", b"1e400", kind, (b"1e400", "expected a double, found 1e400"))
    for name in (b'"step":', b'"wall_time":', b'"seq":', b'"loss":', b'"seed":', b'"attempt":'):
        old, new = LINE[LINE.index(name) :].split(b",")[0].rstrip(b"}"), name + b"9223372036854775808"
        message = "expected an integer of 64 bits, found 9223372036854775808"
        yield _in_a_line(f"65 bits in {name.decode()}", old, new, kind, (b"9223372036854775808", message))


def _depth_and_length() -> Iterator[Damage]:
    deep = b'"loss":' + b"[" * 7 + b"]" * 7
    message = "expected at most 8 levels, found level 9"
    yield _in_a_line("nine levels", b'"loss":0.5', deep, "too_deep", (b"[]", message))
    # By one byte, and by so many blocks that the line is not read to its end.
    for size in (MAX_LINE + 1, 2 * MAX_LINE):
        line = LINE.replace(b"[]", b'["' + b"x" * (size - len(LINE) - 2) + b'"]')
        message = f"expected at most 16777216 bytes, newline included, found {len(line)} bytes"
        yield Damage(f"line of {size} bytes", FIRST + line + THIRD, "line_too_long", 2, len(FIRST), message)


def _types() -> Iterator[Damage]:
    for field, new, expected, found in (
        (b'"step":', b'"1"', "an integer", 'string "1"'),
        (b'"step":', b"1.0", "an integer", "float 1.0"),
        (b'"step":', b"true", "an integer", "boolean true"),
        (b'"step":', b"null", "an integer", "null"),
        (b'"wall_time":', b'"1.5"', "a number or null", 'string "1.5"'),
        (b'"wall_time":', b"{}", "a number or null", "an object"),
        (b'"timestamp":', b"1769903941", "a string", "integer 1769903941"),
        (b'"seq":', b'"1"', "an integer", 'string "1"'),
        (b'"metrics":', b"[0.5]", "an object", "a list"),
        (b'"rng":', b"42", "an object", "integer 42"),
        (b'"data_slice":', b'"8"', "an object", 'string "8"'),
        (b'"model_info":', b"null", "an object", "null"),
        (b'"notes":', b"{}", "a list", "an object"),
        (b'"notes":', b'"a: b"', "a list", 'string "a: b"'),
    ):
        name = field.decode().strip('":')
        old = field + _value_of(field)
        damage = _in_a_line(f"{name} is {found}", old, field + new, "wrong_type", (field, ""))
        yield damage._replace(byte=damage.byte + len(field), message=f"$.{name}: expected {expected}, found {found}")
    primitive = "a number, a string, true, false or null"
    spelled = '"NaN", "Infinity" or "-Infinity"'
    for kind, old, new, at, message in (
        (
            "wrong_type",
            b"0.25",
            b'"0.25"',
            b'"0.25"',
            "$.metrics['kl_mean']: expected a number or null, found string \"0.25\"",
        ),
        (
            "wrong_type",
            b"0.25",
            b"true",
            b"true",
            "$.metrics['kl_mean']: expected a number or null, found boolean true",
        ),
        ("wrong_type", b'"rng"', b'"nonfinite":["x"],"rng"', b'["x"]', "$.nonfinite: expected an object, found a list"),
        (
            "wrong_type",
            b"0.25}",
            b'null},"nonfinite":{"kl_mean":1.0}',
            b"1.0",
            f"$.nonfinite['kl_mean']: expected {spelled}, found float 1.0",
        ),
        ("wrong_type", b"[]", b'["a: b",7]', b"7]", "$.notes[1]: expected a string, found integer 7"),
        (
            "non_primitive",
            b"0.25",
            b"[0.25]",
            b"[0.25]",
            "$.metrics['kl_mean']: expected a number or null, found a list",
        ),
        (
            "non_primitive",
            b'"seed":42',
            b'"seed":{"a":1}',
            b'{"a":1}',
            f"$.rng['seed']: expected {primitive}, found an object",
        ),
        ("non_primitive", b":8", b":[8]", b"[8]", f"$.data_slice['batch_size']: expected {primitive}, found a list"),
        ("non_primitive", b"[]", b"[[]]", b"[]]", "$.notes[0]: expected a string, found a list"),
    ):
        yield _in_a_line(f"{kind}: {new.decode()} for {old.decode()}", old, new, kind, (at, message))


def _value_of(field: bytes) -> bytes:
    """What stands behind a field of the line."""
    names = [
        b'"step":',
        b'"wall_time":',
        b'"timestamp":',
        b'"seq":',
        b'"metrics":',
        b'"rng":',
        b'"data_slice":',
        b'"model_info":',
        b'"notes":',
    ]
    following = dict(pairwise(names)).get(field)
    start = LINE.index(field) + len(field)
    return LINE[start : LINE.index(b"," + following) if following else LINE.rindex(b"}")]


def _fields() -> Iterator[Damage]:
    for name in ("step", "wall_time", "metrics", "rng", "data_slice", "model_info", "notes"):
        field = f'"{name}":'.encode()
        member = field + _value_of(field)
        old = member + b"," if name != "notes" else b"," + member
        message = f"$.{name}: expected the field {name!r}, found nothing"
        yield _in_a_line(f"without {name}", old, b"", "missing_field", (b"{", message))
    message = "$.model_info.run_id: expected a string that is not empty, found nothing"
    yield _in_a_line("without run_id", b'"run_id":"r1",', b"", "missing_field", (b'{"phase"', message))
    known = "step, wall_time, metrics, rng, data_slice, model_info, notes, timestamp, seq, nonfinite"
    for name in ("gpu", "Step", ""):
        member = f'"{name}":0'.encode()
        message = f"$.{name}: expected one of {known}, found {name!r}"
        yield _in_a_line(f"field {name!r}", b'"notes"', member + b',"notes"', "unknown_field", (member, message))


def _keys() -> Iterator[Damage]:
    for name, old, new, at, key in (
        ("field", b'"notes":[]', b'"notes":[],"step":1', b'"step":1}', "step"),
        ("metric", b"0.25", b'0.25,"loss":9.0', b'"loss":9', "loss"),
        ("key of a section", b'"seed":42', b'"seed":42,"seed":43', b'"seed":43', "seed"),
        ("run_id", b'"rank":0', b'"rank":0,"run_id":"r2"', b'"run_id":"r2"', "run_id"),
        ("key, by an escape", b"0.25", b'0.25,"l\\u006fss":9.0', b'"l\\u006fss"', "loss"),
        ("key among colons", b'"seed":42', b'"a:b":"c:","a:b":"c:"', b'"a:b":"c:"}', "a:b"),
        ("name for another", b"kl_mean", b"loss", b'"loss":0.25', "loss"),
    ):
        message = f"expected each key once, found {key!r} again"
        yield _in_a_line(f"repeated {name}", old, new, "duplicate_key", (at, message))


def _values() -> Iterator[Damage]:
    kind = "bad_value"
    for name, old, new, at, message in (
        ("$.step", b'"step":1', b'"step":-1', b"-1,", "an integer >= 0, found -1"),
        ("$.wall_time", b"1.5", b"-1.5", b"-1.5", "a number >= 0, found -1.5"),
        ("$.seq", b'"seq":1', b'"seq":-1', b"-1,", "an integer >= 0, found -1"),
        ("$.model_info.phase", b'"train"', b'"x"', b'"x"', 'one of train, eval, final, found "x"'),
        ("$.model_info.attempt", b'"attempt":1', b'"attempt":0', b'0,"rank"', "an integer >= 1, found 0"),
        ("$.model_info.attempt", b'"attempt":1', b'"attempt":true', b"true", "an integer >= 1, found true"),
        ("$.model_info.rank", b'"rank":0', b'"rank":-1', b"-1}", "an integer >= 0, found -1"),
        ("$.model_info.resumed_from", b'"rank":0', b'"resumed_from":2.5', b"2.5", "an integer >= 0, found 2.5"),
        ("$.model_info.schema", b'"schema":1', b'"schema":0', b'0,"attempt"', "an integer >= 1, found 0"),
        ("$.model_info.run_id", b'"r1"', b'""', b'""', 'a string that is not empty, found ""'),
        ("$.model_info.run_id", b'"r1"', b"17", b"17", "a string that is not empty, found 17"),
        ("$.model_info.run_id", b'"r1"', b"null", b"null", "a string that is not empty, found null"),
    ):
        yield _in_a_line(f"{name} is {new.decode()}", old, new, kind, (at, f"{name}: expected {message}"))
    for text in (
        b'"2026-01-31 23:59:01.250000Z"',
        b'"2026-01-31T23:59:01.25Z"',
        b'"2026-13-31T23:59:01.250000Z"',
        b'"2026-01-31T23:59:01.250000+00:00"',
    ):
        message = f"$.timestamp: expected 2026-01-31T23:59:59.000000Z, found {text.decode()}"
        yield _in_a_line(f"timestamp {text.decode()}", _value_of(b'"timestamp":'), text, kind, (text, message))
    message = '$.nonfinite[\'kl_mean\']: expected "NaN", "Infinity" or "-Infinity", found "nan"'
    yield _in_a_line("unknown spelling", b"0.25}", b'null},"nonfinite":{"kl_mean":"nan"}', kind, (b'"nan"', message))
    message = "$.model_info.schema: expected schema 1 or lower: upgrade rldk to read this log, found 2"
    yield _in_a_line("later schema", b'"schema":1', b'"schema":2', "newer_schema", (b'2,"attempt"', message))
    for name, found in (("loss", "0.5"), ("lost", "no such metric")):
        member = f'"{name}":"NaN"'.encode()
        message = f"$.nonfinite[{name!r}]: expected null in metrics, found {found}"
        new = b'"nonfinite":{' + member + b'},"rng"'
        yield _in_a_line(f"nonfinite of {name}", b'"rng"', new, "nonfinite_mismatch", (member, message))


def _order() -> Iterator[Damage]:
    e = an_event
    yield _in_order("step_back", "$.step: expected step >= 5, found 2", e(0), e(5, seq=1), e(2, seq=2, wall_time=6.0))
    yield _in_order(
        "wall_time_back", "$.wall_time: expected wall_time >= 1.5, found 1.25", e(0), e(1), e(2, wall_time=1.25)
    )
    yield _in_order("seq_gap", "$.seq: expected seq 1, found 2: 1 event is missing", e(0), e(2))
    yield _in_order("seq_gap", "$.seq: expected seq 1, found 9: 8 events are missing", e(0), e(9))
    yield _in_order("seq_gap", "$.seq: expected seq 0, found 3: 3 events are missing", e(3))
    yield _in_order("seq_repeat", "$.seq: expected seq 2, found 1", e(0), e(1), e(1))
    yield _in_order("seq_repeat", "$.seq: expected seq 2, found 0", e(0), e(1), e(2, seq=0))
    later = e(0, info={"attempt": 2})
    yield _in_order("attempt_back", "$.model_info.attempt: expected attempt >= 2, found 1", later, e(1, seq=0))
    other = e(1, info={"run_id": "r2"})
    yield _in_order("mixed_runs", "$.model_info.run_id: expected events of 'r1' only, found 'r2'", e(0), other)


def _in_order(kind: str, message: str, *events: Event) -> Damage:
    """Events that are sound one by one, the last of which cannot follow; it is told where its line begins."""
    *lines, last = map(encode, events)
    before = b"".join(lines)
    return Damage(message, before + last, kind, len(events), len(before), message)


def _ends() -> Iterator[Damage]:
    for name, before, torn in (
        ("torn tail", FIRST, LINE[:30]),
        ("torn tail that parses", FIRST, LINE[:-1]),
        ("nothing but a torn tail", b"", LINE[:30]),
        ("NUL bytes at the end", FIRST, b"\0" * 512),
    ):
        message = f"expected a newline at the end of the last line, found {len(torn)} bytes without one"
        yield Damage(name, before + torn, "torn_tail", before.count(b"\n") + 1, len(before), message)
    yield Damage("empty file", b"", "empty_file", 1, 0, "expected events, one on each line, found an empty file")


def _compressed() -> Iterator[Damage]:
    """Files of two frames, the second of which is damaged: in the middle, at its very end, and in its checksum."""
    for how, name, reason, pack in (
        ("gz", "gzip", "Error -3 while decompressing data: incorrect data check", gzip.compress),
        (
            "zst",
            "zstd",
            "zstd decompressor error: Restored data doesn't match checksum",
            zstandard.ZstdCompressor(write_checksum=True).compress,
        ),
    ):
        frames = [pack(FIRST), pack(LINE)]
        whole, cut = b"".join(frames), len(frames[0]) + 20
        spoiled = bytearray(whole)
        spoiled[-8 if how == "gz" else -4] ^= 1
        both = len(FIRST) + len(LINE)
        middle = "the end of the file in the middle of it, at byte {}".format
        for title, log, line, byte, found in (
            ("cut", whole[:cut], 2, len(FIRST), middle(cut)),
            ("cut by a byte", whole[:-1], 3, both, middle(len(whole) - 1)),
            ("bad checksum", bytes(spoiled), 2, len(FIRST), f"damage before byte {len(whole)}: {reason}"),
            ("nothing", b"", 1, 0, "an empty file"),
        ):
            file, message = f"r1_events.000001.jsonl.{how}", f"expected whole {name} data, found {found}"
            yield Damage(f"{how}: {title}", log, "bad_compression", line, byte, message, file)


DAMAGES: Final = [
    *_not_json(),
    *_other_bytes(),
    *_numbers(),
    *_depth_and_length(),
    *_types(),
    *_fields(),
    *_keys(),
    *_values(),
    *_order(),
    *_ends(),
    *_compressed(),
]
NOT_OF_A_LINE: Final = {
    "step_back",
    "wall_time_back",
    "seq_gap",
    "seq_repeat",
    "attempt_back",
    "mixed_runs",
    "empty_file",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damage_is_told_at_its_line_and_byte(tmp_path: Path, damage: Damage) -> None:
    """A strict validation finds the damage and nothing else, and says what was expected and what was found.

    Seen to fail when the number of the line is off by one.
    """
    log = tmp_path / damage.file
    log.write_bytes(damage.log)
    report = validate_jsonl_file(log, strict=True)
    message = f"{log}:{damage.line}:{damage.byte}: {damage.message} [{damage.kind}]"

    assert not report
    assert [str(problem.error(log)) for problem in report.problems] == [message]
    assert [(p.kind, p.line, p.byte) for p in report.problems] == [(damage.kind, damage.line, damage.byte)]
    assert report.counts == {damage.kind: 1}


@pytest.mark.parametrize(
    "damage", [damage for damage in DAMAGES if damage.kind not in NOT_OF_A_LINE], ids=lambda d: d.name
)
def test_a_reader_refuses_a_line_for_the_same_reason(tmp_path: Path, damage: Damage) -> None:
    """What a validation says of a line, strict reading raises.

    Seen to fail when the byte is that of the block that was read, not of the line in it.
    """
    log = tmp_path / damage.file
    log.write_bytes(damage.log)
    with pytest.raises(InvalidLineError) as caught:
        list(read_events(log))

    assert str(caught.value) == f"{log}:{damage.line}:{damage.byte}: {damage.message} [{damage.kind}]"


def test_every_kind_of_damage_is_provoked() -> None:
    """There is a damaged log for each kind that an RLDK log can have, and many more than thirty in all."""
    names = [damage.name for damage in DAMAGES]

    assert {damage.kind for damage in DAMAGES} == set(KINDS) - FOREIGN
    assert len(names) == len(set(names)) >= 30
