"""The small language in which users say when their rules fire.

    reward_mean < 0.1
    kl_mean > 3 * baseline(kl_mean) and not reward_mean > max(reward_mean, 50)
    abs(mean(`sampling/logp gap`, 20)) >= 0.05 or grad_norm == 0

Numbers, metrics by name (in backquotes when the name has spaces or signs), `+ - * /`, the comparisons
`< <= > >= == !=`, `and`, `or`, `not`, parentheses, and these functions: `abs(x)`, `baseline(m)` for the median of
a metric's beginning, and `last(m, n)`, `mean(m, n)`, `median(m, n)`, `min(m, n)` and `max(m, n)` of a metric's last n
values, at most 64. A name may hold `/`, `.`, `@` and `:`, so that a quotient of two metrics is written with spaces,
as `kl_mean / lr`. A condition in which something is divided by zero does not hold. Nothing else: no calls, no
attributes, no evaluation by Python.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from rldk.alerts.series import RECENT
from rldk.alerts.statistics import median

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rldk.alerts.series import Series

__all__ = ["FUNCTIONS", "Expression", "ExpressionError", "parse"]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|`(?P<quoted>[^`]+)`"
    r"|(?P<name>[A-Za-z_][\w./@:]*)"
    r"|(?P<sign><=|>=|==|!=|[-+*/()<>,]))"
)
_COMPARISONS: Final = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_SUMS: Final = {"+": operator.add, "-": operator.sub}
_PRODUCTS: Final = {"*": operator.mul, "/": operator.truediv}
_WINDOWED: Final[dict[str, Callable[[list[float]], float]]] = {
    "last": lambda values: values[0],
    "max": max,
    "mean": lambda values: sum(values) / len(values),
    "median": median,
    "min": min,
}
FUNCTIONS: Final = ("abs", "baseline", *_WINDOWED)
"""The functions that an expression may use."""

_DEEPEST: Final = 50

_LONGEST: Final = 500
"""Words and signs of an expression at most: each sum of a long one is computed within the next, and the stack ends."""


class ExpressionError(ValueError):
    """An expression that cannot be understood.

    Args:
        expected: what should have stood there.
        found: what stood there.
    """

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"expected {self.expected}, found {self.found}"


class Expression(NamedTuple):
    """A condition on metrics."""

    holds: Callable[[Mapping[str, Series]], bool]
    """Whether it holds; of metrics that are all there."""
    metrics: tuple[str, ...]
    """The metrics it is about, in the order in which they occur."""
    text: str


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse(text: str) -> Expression:
    """Understand an expression.

    Raises:
        ExpressionError: it is none.
    """
    parser = _Parser(text)
    value, is_condition = parser.either()
    parser.end()
    if not is_condition:
        raise ExpressionError("a comparison, as `reward_mean < 0.1`", f"only a number: {text.strip()!r}")
    if not parser.metrics:
        raise ExpressionError("the name of a metric", repr(text.strip()))
    return Expression(lambda train: bool(value(train)), tuple(parser.metrics), text)


class _Parser:
    """Reads tokens from left to right, one function for each level of precedence.

    Each part is a function of the metrics, and whether it is a condition or a number.
    """

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self.metrics: dict[str, None] = {}

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> str | None:
        token = self._peek()
        if token.kind in {"sign", "name"} and token.text in texts:
            self._at += 1
            return token.text
        return None

    def _fail(self, expected: str) -> ExpressionError:
        token = self._peek()
        found = "the end" if token.kind == "end" else f"{token.text!r} at column {token.column}"
        return ExpressionError(expected, found)

    def end(self) -> None:
        """Take the end."""
        if self._peek().kind != "end":
            raise self._fail("an operator or the end")
        if self._at > _LONGEST:
            raise ExpressionError(f"at most {_LONGEST} numbers, metrics and operators", f"{self._at:,}")

    def either(self) -> tuple[Callable[[Mapping[str, Series]], float], bool]:
        """Conditions joined by `or`, or a number."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError(f"at most {_DEEPEST} levels of parentheses", "more")
        left, is_condition = self._both()
        while self._take("or"):
            left = _joined(self._condition(left, is_condition), self._condition(*self._both()), any)
        self._depth -= 1
        return left, is_condition

    def _both(self) -> tuple[Callable[[Mapping[str, Series]], float], bool]:
        left, is_condition = self._negated()
        while self._take("and"):
            left = _joined(self._condition(left, is_condition), self._condition(*self._negated()), all)
        return left, is_condition

    def _condition(
        self,
        value: Callable[[Mapping[str, Series]], float],
        is_condition: bool,  # noqa: FBT001 - a part and its kind
    ) -> Callable[[Mapping[str, Series]], float]:
        if not is_condition:
            raise self._fail("a comparison on both sides of `and` and `or`, and after `not`")
        return value

    def _negated(self) -> tuple[Callable[[Mapping[str, Series]], float], bool]:
        count = 0
        while self._take("not"):
            count += 1
        value, is_condition = self._compared()
        if not count:
            return value, is_condition
        inner = self._condition(value, is_condition)
        return (inner if count % 2 == 0 else lambda train: not inner(train)), True

    def _compared(self) -> tuple[Callable[[Mapping[str, Series]], float], bool]:
        left, is_condition = self._summed()
        sign = self._take(*_COMPARISONS)
        if not sign:
            return left, is_condition
        right, other = self._summed()
        if is_condition or other:
            raise self._fail("numbers on both sides of a comparison")
        compare = _COMPARISONS[sign]
        if self._peek().text in _COMPARISONS:
            raise self._fail("`and` between two comparisons")
        return (lambda train: compare(left(train), right(train))), True

    def _summed(self) -> tuple[Callable[[Mapping[str, Series]], float], bool]:
        left, is_condition = self._multiplied()
        while sign := self._take(*_SUMS):
            left = self._computed(_SUMS[sign], (left, is_condition), self._multiplied())
        return left, is_condition

    def _multiplied(self) -> tuple[Callable[[Mapping[str, Series]], float], bool]:
        left, is_condition = self._signed()
        while sign := self._take(*_PRODUCTS):
            left = self._computed(_PRODUCTS[sign], (left, is_condition), self._signed())
        return left, is_condition

    def _computed(
        self,
        compute: Callable[[float, float], float],
        one: tuple[Callable[[Mapping[str, Series]], float], bool],
        other: tuple[Callable[[Mapping[str, Series]], float], bool],
    ) -> Callable[[Mapping[str, Series]], float]:
        if one[1] or other[1]:
            raise self._fail("numbers to compute with")
        left, right = one[0], other[0]
        return lambda train: compute(left(train), right(train))

    def _signed(self) -> tuple[Callable[[Mapping[str, Series]], float], bool]:
        if not self._take("-"):
            return self._single()
        value, is_condition = self._single()
        if is_condition:
            raise self._fail("a number after the sign")
        return (lambda train: -value(train)), False

    def _single(self) -> tuple[Callable[[Mapping[str, Series]], float], bool]:
        token = self._peek()
        if self._take("("):
            inner = self.either()
            self._close()
            return inner
        if token.kind == "number":
            self._at += 1
            number = float(token.text)
            return (lambda train: number), False  # noqa: ARG005 - it is the same for every run
        if token.kind == "quoted" or (token.kind == "name" and token.text not in {"and", "or", "not"}):
            self._at += 1
            if token.kind == "name" and self._peek().text == "(" and self._peek().kind == "sign":
                return self._call(token), False
            name = self._metric(token.text)
            return (lambda train: train[name].last), False
        raise self._fail("a number, a metric or a parenthesis")

    def _close(self) -> None:
        if not self._take(")"):
            raise self._fail("`)`")

    def _metric(self, name: str) -> str:
        self.metrics[name] = None
        return name

    def _call(self, token: _Token) -> Callable[[Mapping[str, Series]], float]:
        if token.text not in FUNCTIONS:
            raise ExpressionError(f"one of the functions {', '.join(FUNCTIONS)}", f"{token.text!r}")
        self._take("(")
        if token.text == "abs":
            value, is_condition = self.either()
            if is_condition:
                raise self._fail("a number in `abs()`")
            self._close()
            return lambda train: abs(value(train))
        name = self._named()
        if token.text == "baseline":
            self._close()
            return lambda train: train[name].baseline
        count = self._count()
        self._close()
        summed = _WINDOWED[token.text]
        return lambda train: summed(list(train[name].recent)[-count:])

    def _named(self) -> str:
        token = self._peek()
        if token.kind not in {"name", "quoted"}:
            raise self._fail("the name of a metric")
        self._at += 1
        return self._metric(token.text)

    def _count(self) -> int:
        if not self._take(","):
            raise self._fail("`,` and how many values")
        token = self._peek()
        if token.kind != "number" or not token.text.isdecimal() or not 1 <= int(token.text) <= RECENT:
            raise self._fail(f"a whole number from 1 to {RECENT}")
        self._at += 1
        return int(token.text)


def _joined(
    left: Callable[[Mapping[str, Series]], float],
    right: Callable[[Mapping[str, Series]], float],
    how: Callable[[tuple[bool, bool]], bool],
) -> Callable[[Mapping[str, Series]], float]:
    return lambda train: how((bool(left(train)), bool(right(train))))


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            while text[at].isspace():
                at += 1
            raise ExpressionError("a number, a metric or an operator", f"{text[at : at + 10]!r} at column {at + 1}")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*found, _Token("end", "", len(text) + 1)]
