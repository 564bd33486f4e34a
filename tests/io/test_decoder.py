"""The fast way to decode a log: what it may never take for an event.

`tests/properties/test_damaged_lines.py` attacks it at random; here stand the attacks that once worked, or
would if one of its conditions were forgotten.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

import pytest

from rldk.errors import InvalidLineError
from rldk.io.codec import decode, encode
from rldk.io.decoder import LineDecoder, Tail, event, names
from rldk.io.event_schema import MAX_LINE, Event
from tests.samples import EXAMPLE, an_event

LINES: Final = [encode(an_event(step)) for step in range(4)]


def _decode_all(decoder: LineDecoder, text: bytes) -> list[Event | str]:
    """Each line's event, or what is wrong with it."""
    return [
        str(tail) if isinstance(tail, InvalidLineError) else event(head, tail, names)
        for _, _, head, tail, names in decoder.parts(text)
    ]


def _decode_each(text: bytes) -> list[Event | str]:
    """What `decode` says of each line."""
    results: list[Event | str] = []
    for line in text[:-1].split(b"\n"):
        try:
            results.append(decode(line))
        except InvalidLineError as error:
            results.append(str(error))
    return results


def test_a_regular_log_is_decoded_the_fast_way() -> None:
    """From the second line on, the head is a Struct and the tail is the one seen before."""
    parts = list(LineDecoder().parts(b"".join(LINES)))

    assert [names for *_, names in parts] == [None, *[("loss", "kl_mean")] * 3]
    assert [tail is parts[0][3] for _, _, _, tail, _ in parts] == [True] * 4
    assert [event(head, tail, names) for _, _, head, tail, names in parts] == [an_event(step) for step in range(4)]


def test_the_parts_say_where_each_line_stands() -> None:
    """Start and end are bytes of the text, the newline not included."""
    text = b"".join([LINES[0], b"\n", LINES[1], b"{}\n", LINES[2]])

    assert [text[start:end] + b"\n" for start, end, *_ in LineDecoder().parts(text)] == [
        LINES[0],
        b"\n",
        LINES[1],
        b"{}\n",
        LINES[2],
    ]


def test_quotes_in_the_tail_do_not_stand_in_the_way() -> None:
    """A log with quotes, backslashes or line breaks in its notes is regular: they hide no colon."""
    changes = {"notes": ['said: "x"', "a\\b\nc"], "data_slice": {"path": 'C:\\"'}}
    events = [an_event(step, **changes) for step in range(3)]
    parts = list(LineDecoder().parts(b"".join(map(encode, events))))

    assert [names is None for *_, names in parts] == [True, False, False]
    assert [event(head, tail, names) for _, _, head, tail, names in parts] == events


def test_events_of_one_shape_share_nothing_that_can_be_changed() -> None:
    """Who changes the sections of one event changes no other."""
    one, other = (item for item in _decode_all(LineDecoder(), LINES[0] + LINES[1]) if isinstance(item, Event))
    one.rng["seed"] = 7
    one.data_slice["batch_size"] = 7
    one.model_info["rank"] = 7
    one.notes.append("changed: yes")

    assert other == an_event(1)


def test_train_eval_and_final_lines_alternate() -> None:
    """Several shapes are remembered at once."""
    tails = [{"info": {"phase": "eval"}, "metrics": {"loss": 2.0}}, {}, {"info": {"phase": "final"}, "metrics": {}}]
    events = [an_event(step, **tails[step % 3]) for step in range(30)]
    parts = list(LineDecoder().parts(b"".join(map(encode, events))))

    assert [event(head, tail, names) for _, _, head, tail, names in parts] == events
    assert [names is None for *_, names in parts] == [True] * 3 + [False] * 27


def test_more_shapes_than_are_remembered_are_decoded_all_the_same() -> None:
    """What is forgotten is learned again; memory does not grow with the log."""
    events = [an_event(step, metrics={f"m{step % 20}": 1.0}, data_slice={"n": step % 30}) for step in range(100)]
    decoder = LineDecoder()

    assert _decode_all(decoder, b"".join(map(encode, events))) == events
    assert len(decoder._shapes) == 8
    assert len(decoder._heads) <= 8


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"loss": float("nan"), "kl_mean": 0.5}},
        {"metrics": {"loss": None, "kl_mean": 0.5}},
        {"metrics": {}},
        {"metrics": {'quote"': 1.0, "back\\slash": 2.0, "line\nbreak": 3.0}},
        {"metrics": {"": 1.0, ":": 2.0, "é": 3.0, "\u2028": 4.0, "metric_0": 5.0, "__class__": 6.0, "true": 7.0}},
        {"metrics": {"loss": 2**63 - 1, "kl_mean": -(2**63)}},
        {"wall_time": None},
        {"wall_time": 1e300},
        {"timestamp": None},
        {"seq": None},
        {"notes": ["a: b", 'c: ",\\"rng\\":{']},
        {"data_slice": {"x": "a:b", "y": True, "z": None}},
    ],
)
def test_any_event_is_decoded_after_regular_ones(changes: dict[str, object]) -> None:
    """Whatever does not fit what is remembered is decoded the plain way, between lines that fit."""
    odd = an_event(2, **changes)  # type: ignore[arg-type]
    events = [an_event(0), an_event(1), odd, odd, an_event(3), odd]

    assert _decode_all(LineDecoder(), b"".join(map(encode, events))) == events


DAMAGE: Final = pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b'"loss":0.25', b'"loss":0.25,"loss":0.25', "duplicate_key"),
        (b'"kl_mean":0.25', b'"loss":0.25', "duplicate_key"),
        (b'{"step":3', b'{"step":3,"step":3', "duplicate_key"),
        (b'"seq":3', b'"step":3', "duplicate_key"),
        (b'"timestamp":"2026-01-31T23:59:03.250000Z"', b'"timestamp":"","timestamp":":"', "bad_value"),
        (b'"metrics":', b'"rng":{},"metrics":', "duplicate_key"),
        (b'"kl_mean"', b'"kl:mean"', ""),
        (b'"kl_mean":0.25', b'"kl_mean":"0:25"', "wrong_type"),
        (b'"kl_mean":0.25', b'"kl_mean":{}', "non_primitive"),
        (b'"kl_mean":0.25', b'"kl_mean":1e999', "number_out_of_range"),
        (b'"kl_mean":0.25', b'"kl_mean":NaN', "bare_nonfinite"),
        (b'"kl_mean":0.25', b'"kl_mean":-Infinity', "bare_nonfinite"),
        (b'"kl_mean":0.25', b'"kl_mean":null', ""),
        (b'"kl_mean":0.25', b'"kl_mean":null,"kl_mean":null', "duplicate_key"),
        (b'"kl_mean":0.25', b'"kl_mean":0.25,"k\\u006c_mean":0.25', "duplicate_key"),
        (b'"kl_mean":0.25', b'"kl_mean":18446744073709551616', "number_out_of_range"),
        (b'"wall_time":3.5', b'"wall_time":9223372036854775808', "number_out_of_range"),
        (b'"wall_time":3.5', b'"wall_time":9223372036854775807', ""),
        (b'"wall_time":3.5', b'"wall_time":-3.5', "bad_value"),
        (b'"wall_time":3.5', b'"wall_time":null', ""),
        (b'"step":3', b'"step":3.0', "wrong_type"),
        (b'"step":3', b'"step":true', "wrong_type"),
        (b"59:03.250000Z", b"59:03.25Z", "bad_value"),
        (b"59:03.250000Z", b"59:63.250000Z", "bad_value"),
        (b"59:03.250000Z", b"59:03.2500000Z", "bad_value"),
        (b'"2026-01-31T23', b'"2026-13-31T23', "bad_value"),
        (b'"2026-01-31T23', b'"2026-01-32T23', "bad_value"),
        (b'"2026-01-31T23', b'"2026-01-31T24', "bad_value"),
        (b'"2026-01-31T23', b'"2026-01-31t23', "bad_value"),
        (b'"2026-01-31T23:59:03.250000Z"', b'""', "bad_value"),
        (b'"2026-01-31T23:59:03.250000Z"', b'"2026-01-31T23:59:03.250000Z2026-01-31T23:59:03.250000Z"', "bad_value"),
        (b'"2026-01-31T23:59:03.250000Z"', b'"%b"' % "\uff12026-01-31T23:59:03.250000Z".encode(), "bad_value"),
        (b"59:03.250000Z", b"59:0\xff.250000Z", "invalid_utf8"),
        (b'"kl_mean"', b'"kl\xffmean"', "invalid_utf8"),
        (b'"step":3', b'"st\xffp":3', "invalid_utf8"),
        (b'"step":3', b'"step":' + b"[" * 50_000, "too_deep"),
        (b'"metrics":{', b'"metrics":[{', "bad_json"),
        (b'},"rng"', b'}},"rng"', "bad_json"),
        (b'},"rng"', b',"rng"', "bad_json"),
        (b'},"rng"', b'},,"rng"', "bad_json"),
        (b'},"rng"', b'}  ,"rng"', ""),
        (b'},"rng"', b'} \x00,"rng"', "bad_json"),
        (b'{"step"', b'{}{"step"', "bad_json"),
        (b'{"step"', b'"step"', "bad_json"),
        (b'{"step"', b'\xef\xbb\xbf{"step"', "byte_order_mark"),
        (b'{"step":3', b"", "bad_json"),
        (b'"metrics":{', b'"metrics":{}}', "bad_json"),
    ],
)
"""What can happen to the head of `LINES[3]`, and what it is called; nothing when it is still an event."""


@DAMAGE
def test_a_head_that_is_none_is_refused_before_a_tail_that_is_known(old: bytes, new: bytes, kind: str) -> None:
    """A line that ends as the lines before it did is judged as `decode` judges it alone."""
    line = LINES[3].replace(old, new, 1)
    decoder = LineDecoder()
    warm = _decode_all(decoder, b"".join(LINES[:3]))
    (result,) = _decode_all(decoder, line)

    assert line != LINES[3]
    assert warm == [an_event(step) for step in range(3)]
    assert [result] == _decode_each(line)
    assert (isinstance(result, Event), kind in str(result)) == (not kind, True)


REGULAR: Final = [encode(an_event(step)) for step in range(100, 120)]


@DAMAGE
def test_a_damaged_line_among_many_regular_ones(old: bytes, new: bytes, kind: str) -> None:
    """What is decoded many lines at a time is judged as each line alone, and the lines beside it are read."""
    damaged = LINES[3].replace(old, new, 1)
    text = b"".join([*REGULAR, damaged, *REGULAR, damaged, damaged, *REGULAR[:2], damaged])
    results = _decode_all(LineDecoder(), text)

    assert results == _decode_each(text)
    assert [kind in str(each) for each in results if isinstance(each, str)] == [True] * (4 if kind else 0)


WIDE: Final = encode(an_event(3, metrics={"loss": 0.5, "kl_mean": 0.25, "lr": 0.5}))
TEXTS: Final = [
    # Two lines that are one document, and one that is two: as many documents as lines.
    [LINES[1].replace(b'"metrics"', b'"metr', 1), b'ics":{}}\n', LINES[2][:-1] + LINES[2]],
    # The head of the first goes on in the second, which is nothing but a tail.
    [LINES[1].replace(b"},", b",", 1), LINES[1][LINES[1].index(b',"rng"') :], LINES[2][:-1] + LINES[2]],
    [LINES[1].replace(b":", b":\n", 1), LINES[2]],
    [b"\n", LINES[1][:-1] + LINES[2]],
    [b"\n", b" \n", LINES[1].replace(b",", b",\n", 2)],
    [LINES[1][:40] + b"\n", LINES[2], LINES[1][40:]],
    [LINES[1][: len(LINES[1]) // 2], LINES[2]],
    [LINES[1].replace(b"\n", b"\r\n"), LINES[2].replace(b"\n", b" \n")],
    # One key too many in one line, and one too few in the other: as many colons as two lines have.
    [LINES[1].replace(b'"loss":0.5', b'"loss":0.5,"loss":0.5'), LINES[2].replace(b',"kl_mean":0.25', b"")],
    [LINES[1].replace(b'"kl_mean":0.25', b'"kl_mean":0.25,"kl_mean":0.25'), LINES[2].replace(b"23:59", b"2359")],
    [LINES[1].replace(b"250000Z", b"250000"), LINES[2].replace(b'"2026', b'"Z2026')],
    # A key too many in each line, or as many in one as there are lines, beside lines that do have one more.
    [line.replace(b'"loss":0.5', b'"loss":0.5,"loss":0.5') for line in LINES[1:]],
    [LINES[1].replace(b'"loss":0.5', b'"loss":0.5,"loss":0.5,"loss":0.5,"loss":0.5'), *LINES[2:]],
    [LINES[1], LINES[2].replace(b'"loss":0.5', b'"loss":0.5,"loss":0.5'), LINES[3]],
    [LINES[1], LINES[2].replace(b"},", b',"lr":0.5},', 1).replace(b'"lr":0.5', b'"loss":0.5'), WIDE],
    # A tail as long as the one that is known.
    [LINES[1], LINES[2].replace(b'"seed":42', b'"seed":43'), LINES[3]],
]


@pytest.mark.parametrize("lines", TEXTS)
def test_lines_do_not_make_up_for_each_other(lines: list[bytes]) -> None:
    """Each line is its own, however many are decoded together: also where all of them together look right."""
    for many in (1, len(REGULAR)):
        text = b"".join([*REGULAR[:many], *lines, *REGULAR[:many], *lines])

        assert _decode_all(LineDecoder(), text) == _decode_each(text)
    decoder = LineDecoder()
    for known in ([*REGULAR, WIDE], lines, REGULAR, lines * 3):
        text = b"".join(known)

        assert _decode_all(decoder, text) == _decode_each(text)


def test_regular_lines_are_handed_out_together() -> None:
    """As many as follow each other, whatever they are; one that is learned from, or is no event, comes by itself."""
    narrow = [encode(an_event(step, metrics={"loss": 0.5})) for step in range(3)]
    other = [encode(an_event(step, info={"phase": "eval"})) for step in range(3)]
    lines = [*LINES, narrow[0], LINES[0], *narrow, *other, *LINES, b"{}\n", *other]
    runs = list(LineDecoder().runs(b"".join(lines)))
    ends = list(accumulate(len(run.heads) for run in runs))

    assert [(len(run.heads), run.regular) for run in runs] == [
        *[(1, False), (3, True)],
        *[(1, False), (4, True)],
        *[(1, False), (6, True)],
        *[(1, False), (3, True)],
    ]
    assert [run.start for run in runs] == [len(b"".join(lines[:at])) for at in [0, *ends[:-1]]]
    assert [names(head) for head in runs[3].heads] == [("loss", "kl_mean"), *[("loss",)] * 3]
    assert [run.tails.count(run.tails[0]) for run in runs] == [1, 3, 1, 4, 1, 2, 1, 3]


def test_a_text_of_one_known_shape_is_one_run() -> None:
    """Whatever shapes were seen between, each line is an event with a head of its own."""
    decoder = LineDecoder()
    other = [encode(an_event(step, info={"phase": "eval"})) for step in range(3)]
    found = [list(decoder.runs(b"".join(lines))) for lines in (LINES, other, LINES, other, [*LINES, *other], LINES)]

    assert [[len(run.heads) for run in runs] for runs in found] == [[1, 3], [1, 2], [4], [3], [7], [4]]
    assert all(run.regular for runs in found[2:] for run in runs)
    assert [head.step for head in found[-1][0].heads] == [0, 1, 2, 3]


SLICES: Final = [{"tokens_in": 1000 + step * step, "file": f"part{step}"} for step in range(40)]


@pytest.mark.parametrize("seen", [b'"data_slice":', b', "data_slice" : '])
def test_lines_with_an_ever_new_data_slice_are_regular(seen: bytes) -> None:
    """What was read, and from where, differs from step to step; all else of the tail is known."""
    events = [an_event(step, data_slice=data_slice) for step, data_slice in enumerate(SLICES)]
    text = b"".join(map(encode, events)).replace(b',"data_slice":' if seen[:1] == b"," else b'"data_slice":', seen)
    runs = list(LineDecoder().runs(text))

    assert [len(run.heads) for run in runs] == [1, 39]
    assert _decode_all(LineDecoder(), text) == events


def test_a_data_slice_that_comes_again_and_again_becomes_part_of_the_tail() -> None:
    """A log in which it changes once is as regular as one in which it never does."""
    events = [an_event(step, data_slice=SLICES[step > 0]) for step in range(40)]
    parts = list(LineDecoder().parts(b"".join(map(encode, events))))

    assert [event(head, tail, metrics) for _, _, head, tail, metrics in parts] == events
    assert len({id(tail) for *_, tail, _ in parts[20:]}) == 1


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b'"tokens_in":', b'"tokens_in":0,"tokens_in":', "duplicate_key"),
        (b'"tokens_in":', b'"t":{},"tokens_in":', "non_primitive"),
        (b'"tokens_in":', b'"t":{"tokens_in":0},"tokens_in":', "non_primitive"),
        (b'"tokens_in":', b'"t":[],"tokens_in":', "non_primitive"),
        (b'"tokens_in":', b'"t":18446744073709551616,"tokens_in":', "number_out_of_range"),
        (b'"tokens_in":', b'"t":NaN,"tokens_in":', "bare_nonfinite"),
        (b'"tokens_in":', b'"t":":","tokens_in":', ""),
        (b'"tokens_in":', b'"t:":null,"tokens_in":', ""),
        (b'"tokens_in":', b'"eval_set":"a","tokens_in":', ""),
        (b'"tokens_in":', b'"t":"\\",\\"rng\\":{","tokens_in":', ""),
        (b'"tokens_in":', b'"tokens\\u005fin":0,"tokens_in":', "duplicate_key"),
        (b'"tokens_in":', b'"\xff":0,"tokens_in":', "invalid_utf8"),
        (b'"tokens_in":', b'},"data_slice":{"tokens_in":', "duplicate_key"),
        (b'"data_slice":{', b'"data_slice":{},"data_slice":{', "duplicate_key"),
        (b'"data_slice":{', b'"rng":{},"data_slice":{', "duplicate_key"),
        (b'"data_slice":{', b'"data_slice":{}{', "bad_json"),
        (b'"data_slice":{', b'"data_slice":[{', "bad_json"),
        (b'"data_slice":{', b'"data_slice":', "bad_json"),
        (b',"data_slice":{', b",{", "bad_json"),
        (b'"rng":{"seed":42},', b"", "missing_field"),
        (b'"rng":{"seed":42}', b'"rng":{"seed":42},"rng":{"seed":42}', "duplicate_key"),
        (b'"loss":', b'"loss":0.5,"loss":', "duplicate_key"),
        (b'"loss":', b'"lost":', ""),
        (b'"step":3,', b'"step":3,"step":3,', "duplicate_key"),
        (b"31T23", b"31T25", "bad_value"),
    ],
)
def test_a_damaged_line_among_many_with_an_ever_new_data_slice(old: bytes, new: bytes, kind: str) -> None:
    """It is judged as it would be alone, and so are the lines beside it."""
    lines = [encode(an_event(step, data_slice=data_slice)) for step, data_slice in enumerate(SLICES)]
    damaged = lines[3].replace(old, new, 1)
    text = b"".join([*lines[:3], damaged, *lines[4:20], damaged, damaged, *lines[20:]])
    results = _decode_all(LineDecoder(), text)

    assert damaged != lines[3]
    assert results == _decode_each(text)
    assert [kind in str(each) for each in results if isinstance(each, str)] == [True] * (3 if kind else 0)


@pytest.mark.parametrize("spaces", [b"", b" ", b"\t  "])
@pytest.mark.parametrize("absent", [(), ("seq",), ("timestamp",), ("seq", "timestamp")])
def test_lines_that_others_write_are_regular_too(spaces: bytes, absent: tuple[str, ...]) -> None:
    """White space between the members, and no `seq` or `timestamp`, make a log no slower."""
    events = [an_event(step, **dict.fromkeys(absent)) for step in range(20)]
    text = b"".join(encode(each).replace(b',"', b"," + spaces + b'"').replace(b'":', b'":' + spaces) for each in events)
    runs = list(LineDecoder().runs(text))

    assert [len(run.heads) for run in runs] == [1, 19]
    assert _decode_all(LineDecoder(), text) == events


@pytest.mark.parametrize("name", ["seq", "timestamp"])
@pytest.mark.parametrize("more", [b'"loss":0.5,', b'"kl_mean":0.25,', b'"loss":0.5,"kl_mean":0.25,'])
def test_a_null_makes_no_room_for_a_repeated_key(name: str, more: bytes) -> None:
    """A line with a null teaches nothing about lines without it, which have a colon less."""
    null = [
        encode(an_event(step, **{name: None})).replace(b'"metrics"', b'"%b":null,"metrics"' % name.encode())
        for step in range(9)
    ]
    repeated = [encode(an_event(step, **{name: None})).replace(b'"loss"', more + b'"loss"') for step in range(9)]
    text = b"".join([*null, *repeated, *null])
    results = _decode_all(LineDecoder(), text)

    assert results == _decode_each(text)
    assert ["duplicate_key" in str(each) for each in results] == [False] * 9 + [True] * 9 + [False] * 9


@pytest.mark.parametrize("name", ["seq", "timestamp"])
@pytest.mark.parametrize("place", [b'"metrics"', b'"notes"', b'"model_info"'])
def test_a_field_that_is_elsewhere_or_null_does_not_pass_for_one_that_is_absent(name: str, place: bytes) -> None:
    """In the head or in the tail, once or twice: each line is judged as it would be alone."""
    absent = [encode(an_event(step, **{name: None})) for step in range(20)]
    present = [encode(an_event(step)) for step in range(20)]
    null = [line.replace(place, b'"%b":null,%b' % (name.encode(), place)) for line in (*absent[:9], *present[9:18])]
    value = b"7" if name == "seq" else b'"2026-01-31T23:59:59.000000Z"'
    given = [line.replace(place, b'"%b":%b,%b' % (name.encode(), value, place)) for line in (*absent[:9], *present[:9])]
    for lines in ([*absent, *null, *given], [*null, *absent, *given], [*given, *null, *present], [*present, *given]):
        text = b"".join([*lines, *lines[::-1]])

        assert _decode_all(LineDecoder(), text) == _decode_each(text)


def test_metrics_of_other_names_and_equal_number_before_one_tail() -> None:
    """They have as many colons, and are still told apart."""
    sets = [("a", "b"), ("b", "a"), ("a", "c"), ("c:", "d")]
    events = [an_event(step, metrics=dict.fromkeys(sets[step % 4], step / 8)) for step in range(40)]
    parts = list(LineDecoder().parts(b"".join(map(encode, events))))

    assert [event(head, tail, metrics) for _, _, head, tail, metrics in parts] == events
    assert [metrics for *_, metrics in parts[8:12]] == [("a", "b"), ("a", "b"), ("a", "c"), ("c:", "d")]


def test_a_head_of_another_shape_before_a_known_tail() -> None:
    """Two tails known with different metrics do not mix up their heads."""
    one, other = an_event(1, metrics={"a": 1.0, "b": 2.0}), an_event(2, metrics={"b": 1.0, "c": 2.0})
    wide = an_event(3, metrics={"a": 1.0, "b": 2.0, "c": 3.0})
    swapped = an_event(4, metrics={"b": 2.0, "a": 1.0})
    events = [one, other, one, other, wide, swapped, one, wide]

    assert _decode_all(LineDecoder(), b"".join(map(encode, events))) == events


def test_a_tail_that_ends_in_another_tail() -> None:
    """A shorter tail that is the end of a longer one does not stand for it."""
    short = an_event(1)
    line = encode(short)
    longer = line.replace(b',"rng":', b',"data_slice":{},"rng":')
    lines = [line, longer, line, longer]

    assert _decode_all(LineDecoder(), b"".join(lines)) == _decode_each(b"".join(lines))
    assert _decode_all(LineDecoder(), b"".join(lines))[::2] == [short, short]


REST: Final = b',"rng":{},"data_slice":{},"model_info":{"run_id":"r"}'


@pytest.mark.parametrize(
    ("learned", "attack", "kind"),
    [
        (
            # An empty `nonfinite` makes the colons of the head those of a head with a seq.
            b'{"step":0,"wall_time":1.5,"timestamp":"%s","metrics":{"a":0.5},"nonfinite":{}'
            + REST
            + b',"notes":[],"seq":0}',
            b'{"step":1,"wall_time":1.5,"timestamp":"%s","seq":1,"metrics":{"a":0.5}' + REST + b',"notes":[],"seq":0}',
            "duplicate_key",
        ),
        (
            # Notes with colons in the head make its colons those of a head with a timestamp.
            b'{"notes":["a: b:"],"step":0,"wall_time":1.5,"seq":0,"metrics":{"a":0.5}' + REST + b',"timestamp":"%s"}',
            b'{"step":1,"wall_time":1.5,"timestamp":"%s","seq":1,"metrics":{"a":0.5}' + REST + b',"timestamp":"%s"}',
            "missing_field",
        ),
    ],
)
def test_a_tail_is_learned_only_from_a_regular_head(learned: bytes, attack: bytes, kind: str) -> None:
    """Fields in another order are read, and teach nothing that a later line could abuse."""
    text = b"".join(line.replace(b"%s", b"2026-01-31T23:59:00.250000Z") + b"\n" for line in (learned, attack))
    results = _decode_all(LineDecoder(), text)

    assert results == _decode_each(text)
    assert isinstance(results[0], Event)
    assert f"[{kind}]" in str(results[1])


@pytest.mark.parametrize(("name", "spelled"), [("a:b", b"a\\u003ab"), ("a:b", b"a\\u003Ab"), ("a::b", b"a:\\u003ab")])
def test_a_colon_in_disguise_does_not_hide_a_second_member(name: str, spelled: bytes) -> None:
    """A colon that is escaped is not counted, which would leave room for the one of a repeated key."""
    line = encode(an_event(1, metrics={name: 0.5, "c": 1.0}))
    attack = line.replace(name.encode(), spelled).replace(b'"c":1.0', b'"c":1.0,"c":2.0')
    decoder = LineDecoder()

    assert attack.count(b":") == line.count(b":")
    assert _decode_all(decoder, line) == [an_event(1, metrics={name: 0.5, "c": 1.0})]
    assert _decode_all(decoder, attack) == _decode_each(attack)
    assert "each key once, found 'c' again" in str(_decode_each(attack)[0])


def test_a_line_beyond_the_limit_is_refused_though_its_tail_is_known() -> None:
    """White space does not smuggle a line past 16 MiB."""
    decoder = LineDecoder()
    _decode_all(decoder, LINES[0])
    padded = LINES[1].replace(b'"metrics"', b" " * (MAX_LINE - len(LINES[1]) + 1) + b'"metrics"')

    assert _decode_all(decoder, padded) == [
        "<line>:1:0: expected at most 16777216 bytes, newline included, found 16777217 bytes [line_too_long]"
    ]
    assert _decode_all(decoder, padded.replace(b"  ", b" ", 1)) == [an_event(1)]


def test_the_tail_of_an_event_is_its_sections_and_notes() -> None:
    """What is handed out beside the head is everything the head does not hold."""
    ((_, _, head, tail, names),) = LineDecoder().parts(EXAMPLE + b"\n")
    example = decode(EXAMPLE)

    assert isinstance(tail, Tail)
    assert (tail.rng, tail.data_slice, tail.model_info, tail.notes) == (
        example.rng,
        example.data_slice,
        example.model_info,
        example.notes,
    )
    assert (head.step, head.wall_time, head.timestamp, head.seq, head.metrics, names) == (
        0,
        10.5,
        None,
        None,
        example.metrics,
        None,
    )
