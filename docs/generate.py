"""Write the parts of the documentation that the code itself can tell: `python docs/generate.py`.

Such a part stands between `<!-- generated: name -->` and `<!-- end -->`. A test fails when one of them is stale.
"""  # noqa: INP001 - a script

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rldk.cli import rldk
from rldk.io.problems import KINDS
from rldk.metrics import METRICS, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rldk.metrics import Source

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = (
    "docs/reference/cli.md",
    "docs/reference/metrics.md",
    "docs/reference/problems.md",
    "src/rldk/integrations/trl/README.md",
)
"""The pages with generated parts."""

_PART: Final = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SPELLED: Final = {"distillation": "Distillation", "onlinedpo": "OnlineDPO", "reward": "Reward"}
"""Algorithms whose name is no abbreviation."""


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (titles, ["---"] * len(titles), *rows):
        yield "|" + "|".join(f" {cell.replace('|', chr(92) + '|')} " if cell else " " for cell in row) + "|\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def commands() -> Iterator[str]:
    """Each command: what it does, its arguments and options, and examples."""
    context = click.Context(rldk, info_name="rldk")
    for name in rldk.list_commands(context):
        command = rldk.get_command(context, name)
        if command:
            yield from _command(command)


def _command(command: click.Command) -> Iterator[str]:
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    examples, _, rest = examples.partition("\n\n")
    yield f"## rldk {command.name}\n\n{_sentences(text)}"
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        yield "\n"
        yield from _table(("option", "default", "meaning"), map(_option, options))
    yield "\n<!-- not run: the tutorial runs it -->\n" if command.name == "demo" else "\n"
    yield f"```bash\n{examples.strip()}\n```\n"
    yield f"\n{_sentences(rest)}" if rest else ""
    yield "\n"


def _sentences(text: str) -> str:
    """Prose with one sentence on each line."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    return "\n\n".join(re.sub(r"(?<=\.) (?=[A-Z])", "\n", paragraph) for paragraph in paragraphs) + "\n"


def _option(option: click.Option) -> tuple[str, str, str]:
    value = "" if option.is_flag else f" {option.metavar or option.type.name.upper().partition(' ')[0]}"
    default = str(option.default) if option.show_default else ""
    again = " May be given more than once." if option.multiple else ""
    return _code(option.opts[0] + value), _code(default), (option.help or "") + again


def problems() -> Iterator[str]:
    """Each kind of problem that a validation can report."""
    return _table(("kind", "meaning"), ((_code(kind), text) for kind, text in KINDS.items()))


def metrics() -> Iterator[str]:
    """Each canonical name."""
    rows = ((_code(each.name), each.meaning, each.unit) for each in METRICS.values())
    return _table(("name", "meaning", "unit"), rows)


def sources() -> Iterator[str]:
    """Each key of a framework that is renamed."""
    rows = ((_code(each.native), _code(each.canonical), _logged_by(each), _exact(each)) for each in SOURCES)
    return _table(("key", "name", "logged by", "what exactly"), rows)


def trl_names() -> Iterator[str]:
    """The keys of TRL that are given another name."""
    renamed = [each for each in SOURCES if each.native != each.canonical]
    rows = ((_code(each.native), _code(each.canonical), _logged_by(each)) for each in renamed)
    return _table(("TRL logs", "RLDK writes", "in"), rows)


def _logged_by(source: Source) -> str:
    if not source.algorithms:
        return "all trainers"
    return ", ".join(_SPELLED.get(name, name.upper()) for name in source.algorithms)


def _exact(source: Source) -> str:
    against = f"against the {source.versus}" if source.versus else ""
    facts = ", ".join(filter(None, (source.estimator, against, source.reduction, source.sign)))
    return "; ".join(filter(None, (facts, source.caveat)))


def generated(page: str) -> str:
    """A page with its generated parts as they have to be."""
    makers = {maker.__name__: maker for maker in (commands, metrics, problems, sources, trl_names)}
    text = (ROOT / page).read_text(encoding="utf-8")
    return _PART.sub(lambda match: f"{match[1]}\n{''.join(makers[match['name']]()).strip()}\n\n{match[3]}", text)


if __name__ == "__main__":
    for _page in PAGES:
        (ROOT / _page).write_text(generated(_page), encoding="utf-8")
