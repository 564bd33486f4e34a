"""The page of a run as one file."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from rldk.errors import RLDKError
from rldk.report.html import report_page

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A small page."""
    (tmp_path / "vendor").mkdir()
    for name, text in {
        "vendor/uPlot.js": "var uPlot = 1;",
        "vendor/uPlot.css": ".u {}",
        "style.css": "body {}",
        "main.js": 'import { one, Two } from "./parts.js";\nimport { three } from "./more.js";\n\nnew Two(three());\n',
        "parts.js": "export const one = 1;\nexport class Two {}\nfunction hidden() {}\n",
        "more.js": 'import { one } from "./parts.js";\n\nexport async function three() {\n  return one;\n}\n',
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_modules_become_one_script(page: Path) -> None:
    """Each module is a function that gives what it exports, behind those it imports."""
    script = re.findall(r'<script type="module">(.*?)</script>', report_page({}, page), re.DOTALL)

    assert "".join(script) == (
        "const module_parts = (() => {\n"
        "const one = 1;\nclass Two {}\nfunction hidden() {}\n\n"
        "return { one, Two };\n})();\n"
        "const module_more = (() => {\n"
        "const { one } = module_parts;\n\nasync function three() {\n  return one;\n}\n\n"
        "return { three };\n})();\n"
        "const module_main = (() => {\n"
        "const { one, Two } = module_parts;\nconst { three } = module_more;\n\nnew Two(three());\n\n"
        "return {  };\n})();"
    )


def test_only_its_own_scripts_and_style_are_allowed(page: Path) -> None:
    """The policy of the file has the hashes of what is in it, and nothing else."""
    text = report_page({}, page)
    scripts = re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)

    def hashes(parts: list[str]) -> str:
        digests = [hashlib.sha256(part.encode()).digest() for part in parts]
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    allowed = f"script-src {hashes(scripts)}; style-src {hashes(styles)}"
    assert re.findall(r'<meta http-equiv="Content-Security-Policy" content="(.*)">', text) == [
        f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    ]


def test_data_is_no_markup(page: Path) -> None:
    """What a run says cannot end the element that it is in."""
    text = report_page({"name": "</script><img src=x>"}, page)

    assert '{"name":"\\u003c/script>\\u003cimg src=x>"}' in text
    assert "<img" not in text


def test_a_part_is_missing(page: Path) -> None:
    """An installation without the charts says what to do."""
    (page / "vendor" / "uPlot.js").unlink()

    with pytest.raises(RLDKError) as caught:
        report_page({}, page)

    assert str(caught.value) == (
        f"{page / 'vendor' / 'uPlot.js'}: expected this part of the web page, found that RLDK was built without it; "
        "install npm and say pip install -e . once more, or install the package from PyPI"
    )
