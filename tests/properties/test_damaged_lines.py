"""Lines that are damaged, or put together by an adversary: all readers have to agree on each of them.

`decode` is fast and has the last word, `explain` parses by itself and only says why, and `LineDecoder` is
faster by what it remembers of earlier lines. Where two of them disagreed, a damaged line would be read.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given
from hypothesis import strategies as st

from rldk.errors import InvalidLineError
from rldk.io.codec import decode, encode
from rldk.io.decoder import LineDecoder, event
from rldk.io.explain import explain, explain_foreign
from rldk.io.reader import read_events
from rldk.io.validator import validate_jsonl_file
from tests.properties.strategies import events, exact, histories
from tests.samples import an_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hypothesis.strategies import SearchStrategy

    from rldk.io.event_schema import Event
    from rldk.io.problems import Problem

IN_ORDER: Final = {"attempt_back", "mixed_runs", "seq_gap", "seq_repeat", "step_back", "wall_time_back"}
"""What is found by comparing lines, and not in a line."""

PIECES: Final = [
    *(bytes([byte]) for byte in b'":,{}[]\\-+.eE01 \t\r\x00\x7f\xff\xc3\xed'),
    b'""',
    b"\\u003a",
    b"\\u0065",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"-0",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"{}",
    b"[]",
    b'"":0,',
    b'"seq":0,',
    b'"step":0,',
    b'"nonfinite":{},',
    b',"rng":{}',
    b',"rng":{',
    b',"notes":[]',
    b"}{",
]
NUMBERS: Final = [
    b"7",
    b"-7",
    b"7.5",
    b"-7.5",
    b"7.",
    b"07",
    b"1e5",
    b"5e-324",
    b"1e400",
    b"-0",
    b"-0.0",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"1" + b"0" * 400,
    b"NaN",
    b"null",
    b"true",
    b'"7"',
    b"{}",
    b"[7]",
]
_NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")
_MEMBER: Final = re.compile(rb'"[^"\\]*":(?:"[^"\\]*"|[^,"{}\[\]]+|\{\}|\[\])')
_LETTER: Final = re.compile(rb"(?<=[A-Za-z_])[a-z_:](?=[a-z_:\"])")


@st.composite
def _damaged(draw: st.DrawFn, lines: list[bytes]) -> bytes:
    """One of the lines, after one to three misfortunes."""
    line = draw(st.sampled_from(lines)).rstrip(b"\n")
    for misfortune in draw(st.lists(st.sampled_from(MISFORTUNES), min_size=1, max_size=3)):
        line = misfortune(draw, line, lines)
    return line


def _place(draw: st.DrawFn, line: bytes) -> int:
    return draw(st.integers(0, len(line)))


def _flip(draw: st.DrawFn, line: bytes, _: list[bytes]) -> bytes:
    at = _place(draw, line)
    return line[:at] + bytes([draw(st.integers(0, 255))]) + line[at + 1 :]


def _delete(draw: st.DrawFn, line: bytes, _: list[bytes]) -> bytes:
    at = _place(draw, line)
    return line[:at] + line[at + draw(st.integers(1, 20)) :]


def _insert(draw: st.DrawFn, line: bytes, _: list[bytes]) -> bytes:
    at = _place(draw, line)
    return line[:at] + draw(st.sampled_from(PIECES)) + line[at:]


def _repeat(draw: st.DrawFn, line: bytes, _: list[bytes]) -> bytes:
    """Copy a stretch of the line to another place."""
    start, end = sorted((_place(draw, line), _place(draw, line)))
    at = _place(draw, line)
    return line[:at] + line[start:end] + line[at:]


def _matched(draw: st.DrawFn, pattern: re.Pattern[bytes], line: bytes) -> re.Match[bytes] | None:
    matches = list(pattern.finditer(line))
    return draw(st.sampled_from(matches)) if matches else None


def _repeat_member(draw: st.DrawFn, line: bytes, _: list[bytes]) -> bytes:
    """Put a copy of a member behind another member."""
    one, other = (_matched(draw, _MEMBER, line) for _ in range(2))
    if not one or not other:
        return line
    separator = draw(st.sampled_from([b",", b" , "]))
    return line[: one.end()] + separator + other[0] + line[one.end() :]


def _replace_member(draw: st.DrawFn, line: bytes, _: list[bytes]) -> bytes:
    one, other = (_matched(draw, _MEMBER, line) for _ in range(2))
    return line[: one.start()] + other[0] + line[one.end() :] if one and other else line


def _renumber(draw: st.DrawFn, line: bytes, _: list[bytes]) -> bytes:
    """Write another number, or something like a number."""
    number = _matched(draw, _NUMBER, line)
    new = draw(st.sampled_from(NUMBERS))
    return line[: number.start()] + new + line[number.end() :] if number else line


def _escape(draw: st.DrawFn, line: bytes, _: list[bytes]) -> bytes:
    """Spell a letter, or a colon, in another way."""
    letter = _matched(draw, _LETTER, line)
    return line[: letter.start()] + b"\\u%04x" % letter[0][0] + line[letter.end() :] if letter else line


def _swap_tail(draw: st.DrawFn, line: bytes, lines: list[bytes]) -> bytes:
    """End the line as another one ends."""
    other = draw(st.sampled_from(lines)).rstrip(b"\n")
    at, other_at = line.find(b',"rng":{'), other.find(b',"rng":{')
    return line[: at if at >= 0 else None] + other[other_at:]


def _append(draw: st.DrawFn, line: bytes, lines: list[bytes]) -> bytes:
    """Two lines in one."""
    return line + draw(st.sampled_from(lines)).rstrip(b"\n")


MISFORTUNES: Final = [
    _flip,
    _delete,
    _insert,
    _repeat,
    _repeat_member,
    _replace_member,
    _renumber,
    _escape,
    _swap_tail,
    _append,
]


@st.composite
def _plain_logs(draw: st.DrawFn) -> list[bytes]:
    """The lines of a log without escapes, all of a few shapes, as a trainer's are."""
    shapes = draw(st.lists(st.tuples(_NAMES, _SECTIONS, _SECTIONS, _NOTES), min_size=1, max_size=3))
    absent: dict[str, None] = dict.fromkeys(
        draw(st.sampled_from([(), (), ("seq",), ("timestamp",), ("timestamp", "seq")]))
    )
    sliced = draw(st.booleans())
    lines = []
    for step in range(draw(st.integers(2, 6))):
        names, rng, data_slice, notes = draw(st.sampled_from(shapes))
        metrics = {name: draw(st.sampled_from([0.5, 1e-7, 2, -3])) for name in names}
        data_slice = draw(_SECTIONS) if sliced else data_slice
        lines.append(encode(an_event(step, metrics=metrics, rng=rng, data_slice=data_slice, notes=notes, **absent)))
    return lines


_NAMES: Final = st.lists(st.sampled_from(["a", "b", "a:b", ":", "", "é", "step", "loss"]), max_size=4, unique=True)
_SECTIONS: Final = st.dictionaries(st.sampled_from(["a", "a:b", "seed"]), st.sampled_from([1, 0.5, True, None, "x:y"]))
_NOTES: Final = st.sampled_from([[], ["a: b"], [":", "::"]])


@st.composite
def _damaged_logs(draw: st.DrawFn) -> list[bytes]:
    """The lines of a log, some of them damaged, in any order behind two sound ones."""
    lines = draw(_plain_logs()) if draw(st.booleans()) else list(map(encode, draw(histories())))
    others = draw(st.lists(_damaged(lines), min_size=1, max_size=6))
    mixed = draw(st.permutations([*lines, *(b"%b\n" % other.replace(b"\n", b" ") for other in others)]))
    return [*lines[:2], *mixed]


def _members(fields: dict[str, list[str]], usual: list[str]) -> SearchStrategy[str]:
    """Members of an object, mostly the usual ones in their order."""
    member = st.sampled_from([f"{name}:{value}" for name, values in fields.items() for value in values])
    regular = st.tuples(*(st.sampled_from([f"{name}:{value}" for value in fields[name]]) for name in usual)).map(list)
    return st.builds(_edited, regular, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), member), max_size=3))


def _edited(members: list[str], edits: Iterable[tuple[int, int, str]]) -> str:
    for at, removed, member in edits:
        members[at : at + removed] = [member] if removed != 1 else []
    return ",".join(members)


_HEAD: Final = _members(
    {
        '"step"': ["0", "1", "2"],
        '"wall_time"': ["0.5", "1.5"],
        '"timestamp"': ['"2026-01-31T23:59:59.000000Z"', '"2026-02-01T00:00:00.000000Z"', "null", '""'],
        '"seq"': ["0", "1", "null"],
        '"metrics"': [
            '{"a":0.5}',
            '{"a":0.5,"b":1}',
            '{"b":1,"a":0.5}',
            '{"a:b":0.5,"c":1}',
            '{"a\\u003ab":0.5,"c":1,"c":2}',
            '{"a":0.5,"a":0.5}',
            '{"a":0.5,"b":1,"a":1}',
            "{}",
            '{"a":null}',
        ],
        '"nonfinite"': ["{}", '{"a":"NaN"}'],
        '"notes"': ["[]", '["a"]', '["a:b:"]', '[":::"]'],
        '"rng"': ["{}", '{"a":":"}'],
        '"s\\u0065q"': ["0"],
    },
    ['"step"', '"wall_time"', '"timestamp"', '"seq"', '"metrics"'],
)
_TAIL: Final = _members(
    {
        '"rng"': ["{}", '{"seed":1}', '{"a":",\'rng\':{"}'],
        '"data_slice"': ["{}", '{"a":"b:c"}', '{"a":1,"b":2}', '{"a":2,"b":3}', '{"a":1,"a":2}'],
        '"model_info"': ['{"run_id":"r"}', '{"run_id":"r:","rank":0}'],
        '"notes"': ["[]", '["a:"]'],
        '"seq"': ["0"],
        '"step"': ["0"],
        '"timestamp"': ['"2026-01-31T23:59:59.000000Z"'],
        '"nonfinite"': ["{}"],
        '"metrics"': ['{"a":0.5}'],
    },
    ['"rng"', '"data_slice"', '"model_info"', '"notes"'],
)


@st.composite
def _composed_logs(draw: st.DrawFn) -> list[bytes]:
    """Lines put together from a few heads and tails, fields repeated, missing and in another order among them."""
    heads = draw(st.lists(_HEAD, min_size=1, max_size=3))
    tails = draw(st.lists(_TAIL, min_size=1, max_size=2))
    pairs = draw(st.lists(st.tuples(st.sampled_from(heads), st.sampled_from(tails)), min_size=2, max_size=8))
    return [f"{{{head},{tail}}}\n".encode() for head, tail in pairs]


def _judged(line: bytes) -> tuple[Any, ...] | str:
    """The event of a line, as exactly as can be, or why it is none."""
    try:
        return exact(decode(line))
    except InvalidLineError as error:
        return str(error)


def _judged_together(decoder: LineDecoder, text: bytes) -> list[tuple[Any, ...] | str]:
    return [
        str(tail) if isinstance(tail, InvalidLineError) else exact(event(head, tail, names))
        for _, _, head, tail, names in decoder.parts(text)
    ]


def _check_foreign(log: Path, lines: list[bytes]) -> None:
    """Check a log of another tool, and compare with what is to be said of each of its lines."""
    log.write_bytes(b"".join(lines))
    plain = validate_jsonl_file(log, max_errors=0)
    ordered = validate_jsonl_file(log, max_errors=0, check_consistency=True)
    explained: list[Problem] = []
    byte = 0
    for number, line in enumerate(lines, 1):
        problems = explain_foreign(line[:-1], ("step", "global_step", "_step"))
        explained += (problem.at(number, byte) for problem in problems)
        byte += len(line)

    assert plain.problems == explained
    assert [problem for problem in ordered.problems if problem.kind not in IN_ORDER] == plain.problems


def _check_agreement(lines: list[bytes]) -> None:
    """Decode and explain each line alone, and all lines with what was learned from those before."""
    alone = [_judged(line.rstrip(b"\n")) for line in lines]
    for line, judgement in zip(lines, alone, strict=True):
        problems = explain(line.rstrip(b"\n"))
        assert judgement == str(problems[0].error()) if problems else isinstance(judgement, tuple)
    assert _judged_together(LineDecoder(), b"".join(lines)) == alone
    decoder = LineDecoder()
    assert [each for line in lines for each in _judged_together(decoder, line)] == alone
    assert _judged_together(decoder, b"".join(lines)) == alone


PLAIN: Final = encode(
    an_event(
        metrics={"a:b": 0.5, "c": 2.5},
        rng={"s": 1},
        data_slice={},
        model_info={"run_id": "r:"},
        notes=['"\\\n:'],
    )
)
FOREIGN: Final = (
    b'{"step":1,"a:b":0.5,"d":{"c":1,"e":":\\""},"l":["z",2],"model_info":{"attempt":1},"seq":0,"notes":["n"]}\n'
)


def _every_misfortune(line: bytes) -> Iterator[bytes]:
    """A line with each single misfortune that a few bytes can suffer, at every place."""
    line = line.rstrip(b"\n")
    for at in range(len(line) + 1):
        yield from (line[:at] + piece + line[at:] for piece in PIECES)
        yield from (line[:at] + line[at + count :] for count in (1, 2, 3, 5, 8))
        yield from (
            line[:at] + bytes([byte ^ 1 << bit]) + line[at + 1 :] for byte in line[at : at + 1] for bit in range(8)
        )
    for number in _NUMBER.finditer(line):
        yield from (line[: number.start()] + new + line[number.end() :] for new in NUMBERS)
    members, letters = list(_MEMBER.finditer(line)), list(_LETTER.finditer(line))
    for one in members:
        for other in members:
            doubled = line[: one.end()] + b"," + other[0] + line[one.end() :]
            yield doubled
            yield line[: one.start()] + other[0] + line[one.end() :]
            # A colon that is spelled in another way would make room for the colon of the second member.
            yield doubled.replace(b"a:b", b"a\\u003ab", 1)
    for letter in letters:
        yield line[: letter.start()] + b"\\u%04x" % letter[0][0] + line[letter.end() :]


def test_all_readers_agree_on_every_single_misfortune() -> None:
    """Whatever a few bytes suffer, anywhere in a regular line, it is refused by all or read alike by all."""
    seen = set()
    for line in _every_misfortune(PLAIN):
        if line in seen or b"\n" in line:
            continue
        seen.add(line)
        _check_agreement([PLAIN, line + b"\n"])
    assert len(seen) > 10_000


HEAD: Final = {
    "step": b'"step":0',
    "wall_time": b'"wall_time":0.5',
    "timestamp": b'"timestamp":"2026-01-31T23:59:59.000000Z"',
    "seq": b'"seq":0',
    "metrics": b'"metrics":{"a":0.5}',
}
TAIL: Final = {
    "rng": b'"rng":{}',
    "data_slice": b'"data_slice":{}',
    "model_info": b'"model_info":{"run_id":"r"}',
    "notes": b'"notes":["a: b"]',
}


def _without(fields: dict[str, bytes], name: str) -> list[bytes]:
    return [member for key, member in fields.items() if key != name]


def test_no_line_teaches_a_tail_that_makes_a_wrong_line_right() -> None:
    """A field may stand in the head or in the tail; a regular head before a tail seen once is judged as ever."""
    regular = list(HEAD.values())
    others = [b'"nonfinite":{}', b'"seq":null', *(b'"notes":["%b"]' % (b":" * count) for count in range(5))]
    heads = [regular, *([*_without(HEAD, name), other] for name in HEAD for other in (b'"notes":[]', *others))]
    tails = [list(TAIL.values())]
    tails += [[*rest, HEAD[name]] for rest in (list(TAIL.values()), _without(TAIL, "notes")) for name in HEAD]
    repeated = [[*_without(HEAD, "metrics"), b'"metrics":{"a":0.5,"a":0.5}'], *([*regular, each] for each in regular)]
    repeated += [[each for each in head if each[:5] != name] for head in repeated for name in (b'"seq"', b'"time')]
    for tail in tails:
        for head in heads:
            _check_agreement([b"{%b}\n" % b",".join([*first, *tail]) for first in (head, regular, *repeated, head)])


def test_the_quick_look_at_a_foreign_line_agrees_with_the_exact_one(tmp_path: Path) -> None:
    """Of a foreign line with every single misfortune, it passes none that the exact look would refuse."""
    lines = [line + b"\n" for line in dict.fromkeys(_every_misfortune(FOREIGN)) if b"\n" not in line]
    _check_foreign(tmp_path / "log.jsonl", lines)
    assert len(lines) > 5_000


@given(_damaged_logs())
def test_all_readers_agree_on_damaged_lines(lines: list[bytes]) -> None:
    """What one accepts all accept, as the same event; what one refuses all refuse, for the same reason."""
    _check_agreement(lines)


@given(_composed_logs())
def test_all_readers_agree_on_lines_put_together_to_deceive_them(lines: list[bytes]) -> None:
    """Nothing that was learned from a line makes another be read that `decode` alone would refuse."""
    _check_agreement(lines)


@given(events, st.data())
def test_all_readers_agree_on_one_flipped_bit(one: Event, data: st.DataObject) -> None:
    """A flipped bit is refused by all, or changes a value that all read alike."""
    line = bytearray(encode(one))
    bit = data.draw(st.integers(0, 8 * (len(line) - 1) - 1))
    line[bit // 8] ^= 1 << bit % 8

    _check_agreement([encode(one), bytes(line[:-1]).replace(b"\n", b" ") + b"\n", encode(one)])


def _moved(lines: list[bytes], number: int, problems: list[Problem]) -> list[Problem]:
    """Problems of a line, moved to where it stands in the file."""
    return [problem.at(number, sum(map(len, lines[: number - 1]))) for problem in problems]


@given(_damaged_logs() | _composed_logs())
def test_a_file_is_judged_line_by_line(lines: list[bytes]) -> None:
    """Validation finds in each line what explain says, and salvage reads every other line."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "r1_events.jsonl"
        log.write_bytes(b"".join(lines))
        report = validate_jsonl_file(log, strict=True, max_errors=0)
        told: list[Problem] = []
        given_back = list(
            read_events(log, mode="salvage", history="all", on_problem=lambda _, problem: told.append(problem))
        )

    explained = [_moved(lines, number, explain(line.rstrip(b"\n"))) for number, line in enumerate(lines, 1)]
    found = [problem for problem in report.problems if problem.kind not in IN_ORDER]
    assert found == [problem for problems in explained for problem in problems]
    assert told == [problems[0] for problems in explained if problems]
    assert list(map(exact, given_back)) == [judged for line in lines if not isinstance(judged := _judged(line), str)]


_FOREIGN: Final = st.builds(
    lambda step, rest: {**step, **rest},
    st.sampled_from([{"step": 1}, {"step": 1}, {"_step": 2, "step": 0.5}, {"global_step": 0}, {}]),
    st.dictionaries(
        st.sampled_from(
            ["step", "_step", "global_step", "loss", "a:b", "wall_time", "seq", "notes", "model_info", "é"]
        ),
        st.recursive(
            st.sampled_from(
                [None, True, 0, 1, 2, -1, 0.5, 2**63 - 1, 2**63, "x", "3/9", ":", "\\", "\ud800", "é", [], {}]
            ),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["rank", "attempt", "phase", "eval_set", "a:b"]), inner, max_size=2)
            ),
            max_leaves=4,
        ),
        max_size=5,
    ),
)


@st.composite
def _foreign_logs(draw: st.DrawFn) -> list[bytes]:
    """JSON lines of another tool, some of them damaged."""
    import json

    ascii_only = draw(st.booleans())
    lines = [
        json.dumps(record, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        for record in draw(st.lists(_FOREIGN, min_size=1, max_size=5))
    ]
    lines += draw(st.lists(_damaged(lines), max_size=3))
    return [line.replace(b"\n", b" ") + b"\n" for line in lines]


@given(_foreign_logs())
def test_a_log_of_others_is_judged_line_by_line(lines: list[bytes]) -> None:
    """The quick look at a foreign line accepts none that the exact one would refuse; none is too odd to order."""
    with tempfile.TemporaryDirectory() as folder:
        _check_foreign(Path(folder) / "log.jsonl", lines)
