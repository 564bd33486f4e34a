"""The language of users' conditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.alerts.expression import ExpressionError, parse
from rldk.alerts.series import Series


def _train(**values: list[float]) -> dict[str, Series]:
    found = {}
    for name, each in values.items():
        series = found[name.replace("__", "/")] = Series(name)
        for step, value in enumerate(each):
            series.add(step, value)
    return found


_TRAIN = _train(loss=[4.0, 2.0, 1.0], kl_mean=[0.0, 0.5], reward__a=[1.0])


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("loss < 2", True),
        ("loss<=1", True),
        ("loss > 1", False),
        ("loss >= 1.0e0", True),
        ("loss == 1 and kl_mean != 1", True),
        ("loss == 2 or kl_mean == .5", True),
        ("not loss == 2", True),
        ("not not loss == 2", False),
        ("loss > 2 or loss < 2 and kl_mean > 1", False),
        ("(loss > 2 or loss < 2) and kl_mean < 1", True),
        ("2 + 3 * loss == 5", True),
        ("(2 + 3) * loss == 5", True),
        ("8 / 2 / 2 == 2 * loss", True),
        ("1 - 1 - loss == -loss", True),
        ("abs(-loss - 3) == 4", True),
        ("mean(loss, 2) == 1.5", True),
        ("median(loss, 3) == 2", True),
        ("min(loss, 3) == 1 and max(loss, 3) == 4", True),
        ("last(loss, 2) == 2", True),
        ("baseline(loss) == 2", True),
        ("reward/a == 1", True),
        ("`reward/a` == 1", True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:  # noqa: FBT001 - the expected value
    """Arithmetic, comparisons, functions and their precedence are those of Python."""
    assert parse(text).holds(_TRAIN) is holds


def test_an_expression_names_its_metrics() -> None:
    """The metrics are told in the order in which they occur, each once."""
    found = parse("mean(kl_mean, 3) > 1 and loss < 2 and kl_mean > `a b`")

    assert found.metrics == ("kl_mean", "loss", "a b")
    assert found.text == "mean(kl_mean, 3) > 1 and loss < 2 and kl_mean > `a b`"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a number, a metric or a parenthesis, found the end"),
        ("loss", "expected a comparison, as `reward_mean < 0.1`, found only a number: 'loss'"),
        ("1 < 2", "expected the name of a metric, found '1 < 2'"),
        ("loss <", "expected a number, a metric or a parenthesis, found the end"),
        ("loss < 1 2", "expected an operator or the end, found '2' at column 10"),
        ("loss < 1 < 2", "expected `and` between two comparisons, found '<' at column 10"),
        ("(loss < 1", "expected `)`, found the end"),
        (
            "loss and kl_mean",
            "expected a comparison on both sides of `and` and `or`, and after `not`, found 'kl_mean' at column 10",
        ),
        ("not loss", "expected a comparison on both sides of `and` and `or`, and after `not`, found the end"),
        ("(loss < 1) + 1 > 2", "expected numbers to compute with, found '>' at column 16"),
        ("(loss < 1) < 2", "expected numbers on both sides of a comparison, found the end"),
        ("-(loss < 1) < 2", "expected a number after the sign, found '<' at column 13"),
        ("abs(loss < 1) < 2", "expected a number in `abs()`, found ')' at column 13"),
        (
            "eval(loss) < 2",
            "expected one of the functions abs, baseline, last, max, mean, median, min, found 'eval'",
        ),
        ("mean(loss) < 2", "expected `,` and how many values, found ')' at column 10"),
        ("mean(loss, 65) < 2", "expected a whole number from 1 to 64, found '65' at column 12"),
        ("mean(loss, 0) < 2", "expected a whole number from 1 to 64, found '0' at column 12"),
        ("mean(3, 2) < 2", "expected the name of a metric, found '3' at column 6"),
        ("loss < 1 # no", "expected a number, a metric or an operator, found '# no' at column 10"),
        ("loss = 1", "expected a number, a metric or an operator, found '= 1' at column 6"),
        ("loss < 1x", "expected a number, a metric or an operator, found '1x' at column 8"),
    ],
)
def test_what_cannot_be_understood(text: str, message: str) -> None:
    """Errors say what was expected and what stands there."""
    with pytest.raises(ExpressionError) as caught:
        parse(text)

    assert str(caught.value) == message


def test_parentheses_have_an_end() -> None:
    """A thousand parentheses are refused, and do not exhaust the stack."""
    with pytest.raises(ExpressionError, match="at most 50 levels of parentheses"):
        parse("(" * 1000 + "loss" + ")" * 1000 + " < 1")


def test_a_sum_has_an_end() -> None:
    """What would exhaust the stack when it is computed is refused, and what is not refused can be computed."""
    for text in ("loss + " * 1000 + "loss < 1", "loss < 1 and " * 1000 + "loss < 1"):
        with pytest.raises(ExpressionError, match="at most 500 numbers, metrics and operators"):
            parse(text)

    assert not parse("loss + " * 240 + "loss < 1").holds(_TRAIN)


@given(st.text(alphabet="loskm_ean()<>=!+-*/.,0123456789 `andrt", max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    """No text makes the parser fail in another way."""
    try:
        found = parse(text)
    except ExpressionError:
        return

    assert found.metrics
