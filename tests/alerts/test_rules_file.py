"""Rules that users write."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldk.alerts import load_rules, rules_for
from rldk.alerts.rules_file import parse_rules
from rldk.errors import RulesFileError
from tests.alerts.runs import always, events, judged, point

_FILE = """\
# Ours.
[[rule]]
name = "reward_too_low"
when = "reward_mean < 0.1"
window = 3
severity = "critical"
action = "save_and_stop"
message = "The reward is gone."
advice = "Ask on the channel."

[[rule]]
name = "logp_gap"
when = "`sampling/logp gap` > 1"
"""


def test_a_file_of_rules(tmp_path: Path) -> None:
    """What is not said has its default, and each rule knows the metrics it is about."""
    path = tmp_path / "rules.toml"
    path.write_text(_FILE)

    first, second = load_rules(path)

    assert (first.name, first.group, first.severity, first.action) == (
        "reward_too_low",
        "user",
        "critical",
        "save_and_stop",
    )
    assert (first.needs, first.advice) == (("reward_mean",), "Ask on the channel.")
    assert (second.severity, second.action, second.needs) == ("warning", "", ("sampling/logp gap",))
    assert second.summary == "`sampling/logp gap` > 1, for 1 points in a row."


def test_a_rule_fires_after_its_window_and_is_resolved() -> None:
    """It takes as many points in a row as it asks for, and points without the metric say nothing."""
    rules = parse_rules(_FILE, Path("rules.toml"))
    low = {5, 6, 10, 11, 12, 13}
    run = list(events(40, reward_mean=lambda step: 0.05 if step in low else 0.5))
    run.insert(12, point(11, {"loss": 1.0}))

    changes, found = judged(run, rules=rules)

    assert [(each.rule, each.state, each.first_step, each.last_step) for each in changes] == [
        ("reward_too_low", "firing", 10, 12),
        ("reward_too_low", "resolved", 10, 13),
    ]
    assert changes[0].message == ("The reward is gone. reward_mean < 0.1 has held for 3 points (reward_mean 0.05).")
    assert found.unchecked[0].why == "not applicable: needs sampling/logp gap"


def test_native_keys_may_be_asked_for() -> None:
    """A key that no rule of ours knows, and one that is taken for another, can be used by their own names."""
    text = '[[rule]]\nname = "a"\nwhen = "mood < 0 and kl > 1"\n'
    rules = rules_for() + parse_rules(text, Path("rules.toml"))

    changes, _ = judged(events(30, mood=always(-1.0), kl=float), rules=rules)

    assert [each.first_step for each in changes if each.rule == "a"] == [2]


def test_a_quotient_by_zero_holds_of_nothing() -> None:
    """What cannot be computed does not hold, and does not raise."""
    rules = parse_rules('[[rule]]\nname = "a"\nwhen = "1 / loss > 0 or loss == 0"\n', Path("r.toml"))

    changes, _ = judged(events(5, loss=always(0.0)), rules=rules)

    assert changes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rule = 1", "r.toml:1: expected tables [[rule]] and nothing else, found 'no list'"),
        ("", "r.toml:1: expected tables [[rule]] and nothing else, found 'nothing'"),
        ("\n[[rules]]\nname = 1", "r.toml:2: expected tables [[rule]] and nothing else, found 'rules'"),
        ('[[rule]]\nname = "a"\nwhen = ', "r.toml:3: expected TOML, found Invalid value"),
        ('[[rule]]\nname = "a"\n', "r.toml:1: expected a rule with the key 'when', found none"),
        ('[[rule]]\nwhen = "loss < 1"\n', "r.toml:1: expected a rule with the key 'name', found none"),
        (
            '[[rule]]\nname = "a"\nwhen = "loss < 1"\nwindows = 3',
            "r.toml:4: expected one of the keys name, when, window, severity, action, message, advice, found 'windows'",
        ),
        (
            '[[rule]]\nname = "a"\nwhen = "loss < 1"\nwindow = 0',
            "r.toml:4: expected another window: expected `int` >= 1, found 0",
        ),
        (
            '[[rule]]\nname = "a"\nwhen = "loss < 1"\n\n[[rule]]\nname = "b"\nseverity = "bad"\nwhen = "loss < 1"',
            "r.toml:7: expected another severity: invalid enum value 'bad', found 'bad'",
        ),
        (
            '[[rule]]\nname = "a"\nwhen = "loss <"',
            "r.toml:3: expected a number, a metric or a parenthesis, found the end",
        ),
        (
            '[[rule]]\nname = "a"\nwhen = "loss < 1"\n[[rule]]\nname = "a"\nwhen = "loss < 1"',
            "r.toml:5: expected a name that no other rule has, found 'a'",
        ),
        (
            '[[rule]]\nname = "clone_run"\nwhen = "loss < 1"',
            "r.toml:2: expected a name that no other rule has, found 'clone_run'",
        ),
        (
            '[[rule]]\nname = "A b"\nwhen = "loss < 1"',
            "r.toml:2: expected another name: expected `str` matching regex '\\\\A[a-z][a-z0-9_]*\\\\Z', found 'A b'",
        ),
    ],
)
def test_errors_name_file_and_line(text: str, message: str) -> None:
    """Each error says where it stands, what was expected and what was found."""
    with pytest.raises(RulesFileError) as caught:
        parse_rules(text, Path("r.toml"))

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rule = " + "[" * 5000, "lists or tables too deep in one another"),
        ("rule = " + "1" * 5000, "too long an integer"),
    ],
)
def test_what_the_parser_chokes_on_is_an_error_as_well(text: str, found: str) -> None:
    """No text makes the parser of TOML fail in another way."""
    with pytest.raises(RulesFileError) as caught:
        parse_rules(text, Path("r.toml"))

    assert str(caught.value) == f"r.toml: expected a file of rules in TOML, found {found}"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """A file as editors of Windows write it is read as any other."""
    path = tmp_path / "rules.toml"
    path.write_text(_FILE.replace("\n", "\r\n"), encoding="utf-8-sig")

    assert [rule.name for rule in load_rules(path)] == ["reward_too_low", "logp_gap"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, or is no text, is named."""
    binary = tmp_path / "rules.toml"
    binary.write_bytes(b"\xff\xfe")

    for path, found in ((tmp_path / "none.toml", "No such file or directory"), (binary, "bytes that are no UTF-8")):
        with pytest.raises(RulesFileError) as caught:
            load_rules(path)
        assert str(caught.value) == f"{path}: expected a file of rules in TOML, found {found}"
