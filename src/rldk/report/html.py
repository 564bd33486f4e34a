"""The page of a run as one file: the web page with its scripts, its style and the run's data inside."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rldk.errors import RLDKError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CHARTS", "PAGE", "report_page"]

PAGE: Final = Path(__file__).resolve().parents[1] / "page"
"""Where the files of the web page are."""

CHARTS: Final = "vendor/uPlot.js"
"""What draws the charts. It comes from npm, and is not there when RLDK was built without."""

_STYLES: Final = ("vendor/uPlot.css", "style.css")
_START: Final = "main.js"

_IMPORT: Final = re.compile(r'^import (\{[^}]*\}) from "\./(\w+\.js)";$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.MULTILINE)

_DOCUMENT: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>RLDK</title>
<style>{style}</style>
</head>
<body>
<noscript><p class="noscript">This page draws its charts with JavaScript, which is switched off here.</p></noscript>
<script id="rldk-data" type="application/json">{data}</script>
<script>{charts}</script>
<script type="module">{page}</script>
</body>
</html>
"""


def report_page(data: Any, page: Path = PAGE) -> str:
    """The page with data in it, which asks no server and loads nothing.

    Its content security policy names its own scripts and its style by their hashes, and allows nothing else. What
    the run says is data only: it is in no script, and no `<` in it is one of the document.

    Args:
        data: what `embedded.js` reads.
        page: the folder of the web page.

    Raises:
        RLDKError: a part of the page is missing.
    """
    charts, style = _read(page, CHARTS), "\n".join(_read(page, name) for name in _STYLES)
    script = _as_one(page)
    scripts = " ".join(_hash(text) for text in (charts, script))
    allowed = f"script-src {scripts}; style-src {_hash(style)}"
    return _DOCUMENT.format(
        policy=f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'",
        style=style,
        data=msgspec.json.encode(data).decode().replace("<", "\\u003c"),
        charts=charts,
        page=script,
    )


def _read(page: Path, name: str) -> str:
    try:
        return (page / name).read_text()
    except FileNotFoundError as error:
        raise RLDKError(
            f"{page / name}: expected this part of the web page, found that RLDK was built without it; "
            "install npm and say pip install -e . once more, or install the package from PyPI"
        ) from error


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _as_one(page: Path) -> str:
    """All modules of the page in one script, each a function that gives what it exports."""
    return "\n".join(_as_function(name, text) for name, text in _modules(page, _START, {}))


def _modules(page: Path, name: str, seen: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A module, behind those that it imports."""
    if name in seen:
        return
    seen[name] = text = _read(page, name)
    for _, imported in _IMPORT.findall(text):
        yield from _modules(page, imported, seen)
    yield name, text


def _as_function(name: str, text: str) -> str:
    exported = ", ".join(found for _, found in _EXPORT.findall(text))
    body = _EXPORT.sub(r"\1", _IMPORT.sub(lambda match: f"const {match[1]} = {_variable(match[2])};", text))
    return f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


def _variable(name: str) -> str:
    return f"module_{name.removesuffix('.js')}"
