"""Dicts as Python prints them, `{'loss': 0.5, 'lr': '1e-06', 'kl': nan}`: read by a small strict grammar, no eval."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from rldk.adapters.records import number

__all__ = ["Dict", "DictError", "read_dict"]

_TOKEN: Final = re.compile(
    r"(?P<mark>[{}\[\](),:])"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<word>[^\s{}\[\](),:'\"]+)"
)
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_WORDS: Final[dict[str, Any]] = {"None": None, "True": True, "False": False}
_WRAPPED: Final = re.compile(r"(?:np|numpy|torch)?\.?(?:float|int|uint|bfloat)[0-9]+|tensor|array")
"""What numpy and torch put around a number: `np.float64(0.5)`, `tensor(0.5, device='cuda:0')`."""
_DEEPEST: Final = 8


class DictError(ValueError):
    """A text that begins like a dict, and is none.

    Args:
        expected: what the grammar allows there.
        at: where, counted in characters.
    """

    def __init__(self, expected: str, at: int) -> None:
        super().__init__(expected, at)
        self.expected = expected
        self.at = at


class Dict(NamedTuple):
    """A dict, and where its text ended."""

    members: dict[str, Any]
    end: int


def read_dict(text: str, start: int = 0) -> Dict:
    """Read the dict that begins at a place in a text; more may follow it.

    Keys are strings. Values are numbers, `nan`, `inf`, strings, `None`, `True`, `False`, lists, tuples and dicts.
    The numbers of numpy and torch are taken without what is written around them.

    Raises:
        DictError: none begins there.
    """
    return Dict(*_Reader(text, start).dict(0))


class _Reader:
    """Takes one token after the other."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at

    def next(self, expected: str) -> re.Match[str]:
        """The next token; an error that names what was expected when there is none."""
        self.skip_blanks()
        match = _TOKEN.match(self.text, self.at)
        if not match:
            raise DictError(expected, self.at)
        self.at = match.end()
        return match

    def mark(self, *marks: str) -> str:
        """Take one of these marks, and say which it was."""
        expected = " or ".join(marks)
        match = self.next(expected)
        if match["mark"] not in marks:
            raise DictError(expected, match.start())
        return match["mark"]

    def peek(self, mark: str) -> bool:
        """Take a mark if it comes next; whether it did."""
        self.skip_blanks()
        found = self.text.startswith(mark, self.at)
        self.at += len(mark) if found else 0
        return found

    def skip_blanks(self) -> None:
        """Go on to what is no blank."""
        while self.text.startswith(" ", self.at):
            self.at += 1

    def dict(self, depth: int) -> tuple[dict[str, Any], int]:
        """The members of a dict, and where its text ended."""
        self.mark("{")
        members: dict[str, Any] = {}
        end = self.peek("}")
        while not end:
            match = self.next("a key in quotes")
            if match["text"] is None:
                raise DictError("a key in quotes", match.start())
            key = _unquoted(match["text"], match.start())
            if key in members:
                raise DictError("each key once", match.start())
            self.mark(":")
            members[key] = self.value(depth + 1)
            end = self.mark(",", "}") == "}" or self.peek("}")
        return members, self.at

    def value(self, depth: int) -> Any:
        """A value, with all that is inside it."""
        match = self.next("a value")
        if match["text"] is not None:
            return _unquoted(match["text"], match.start())
        if match["mark"] in {"[", "(", "{"}:
            if depth >= _DEEPEST:
                raise DictError(f"at most {_DEEPEST} levels", match.start())
            if match["mark"] == "{":
                self.at = match.start()
                return self.dict(depth)[0]
            return self.items("]" if match["mark"] == "[" else ")", depth)
        word = match["word"]
        if word is None:
            raise DictError("a value", match.start())
        if _WRAPPED.fullmatch(word) and self.peek("("):
            return self.wrapped(depth)
        value = _WORDS[word] if word in _WORDS else number(word)
        if isinstance(value, str):
            raise DictError("a number, a string, None, True or False", match.start())
        return value

    def items(self, end: str, depth: int) -> list[Any]:
        """The values of a list or a tuple up to the mark that ends it."""
        found: list[Any] = []
        while not self.peek(end):
            found.append(self.value(depth + 1))
            if self.mark(",", end) == end:
                break
        return found

    def wrapped(self, depth: int) -> Any:
        """The number inside `np.float64(...)`; what follows it, as the device of a tensor, is passed over."""
        value = self.value(depth + 1)
        while self.mark(",", ")") == ",":
            match = self.next("an argument with its name")
            argument = match["word"] or ""
            if "=" not in argument:
                raise DictError("an argument with its name", match.start())
            if argument.endswith("="):
                self.next("its value")
        return value


def _unquoted(text: str, start: int) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code is None:
            return _ESCAPED.get(match[4], match[0])
        value = int(code, 16)
        if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:  # noqa: PLR2004 - what Unicode has no character for
            raise DictError("a character of Unicode", start)
        return chr(value)

    inner = text[1:-1]
    return _ESCAPE.sub(plain, inner) if "\\" in inner else inner
