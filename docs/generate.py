"""Write the parts of the documentation that the code itself can tell: `python docs/generate.py`.

Such a part stands between `<!-- generated: name -->` and `<!-- end -->`. A test fails when one of them is stale.
"""  # noqa: INP001 - a script

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rldk.alerts import RULES
from rldk.cli import rldk
from rldk.io.problems import KINDS
from rldk.metrics import LOOKALIKES, METRICS, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rldk.alerts import Rule
    from rldk.metrics import Lookalike, Source

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = (
    "docs/reference/alerts.md",
    "docs/reference/cli.md",
    "docs/reference/metrics.md",
    "docs/reference/problems.md",
    "src/rldk/integrations/openrlhf/README.md",
    "src/rldk/integrations/trl/README.md",
)
"""The pages with generated parts. Beside them there is a page for each rule."""

RULE_PAGES: Final = "docs/reference/rules"
"""The folder of the pages of the rules."""

_PART: Final = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SPELLED: Final = {"distillation": "Distillation", "nashmd": "NashMD", "onlinedpo": "OnlineDPO", "reward": "Reward"}
"""Algorithms whose name is no abbreviation."""
_FRAMEWORKS: Final = {
    "transformers": "transformers",
    "trl": "TRL",
    "openrlhf": "OpenRLHF",
    "verl": "verl",
    "nemo_rl": "NeMo RL",
    "prime_rl": "prime-rl",
    "areal": "AReaL",
    "slime": "slime",
    "open_instruct": "open-instruct",
    "tinker": "tinker-cookbook",
    "llamafactory": "LLaMA-Factory",
    "ms_swift": "ms-swift",
    "sb3": "Stable-Baselines3",
    "cleanrl": "CleanRL",
    "baselines": "OpenAI Baselines",
    "rllib": "RLlib",
    "dreamer": "DreamerV3",
}
"""The frameworks as they spell themselves, by the name they have in the code."""


_NOT_RUN: Final = {
    "convert": "the page on converting does",
    "demo": "the tutorial runs it",
    "diagnose": "the page on diagnosing does",
    "ingest": "the page on ingesting does",
    "query": "the page on ingesting does",
    "replay": "the page on diagnosing does",
    "serve": "it serves until it is stopped; the page on watching shows it",
    "watch": "it goes on until it is stopped; the page on watching shows it",
}
"""Commands whose examples name logs that are not there, and where they are run instead."""


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
    elsewhere = _NOT_RUN.get(command.name or "")
    yield f"\n<!-- not run: {elsewhere} -->\n" if elsewhere else "\n"
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
    """Each canonical name, and who logs it."""
    rows = ((_code(each.name), each.meaning, each.unit, _logging(each.name)) for each in METRICS.values())
    return _table(("name", "meaning", "unit", "logged by"), rows)


def _logging(canonical: str) -> str:
    """Links to the frameworks that log a metric."""
    found = {each.framework for each in SOURCES if each.canonical == canonical}
    return ", ".join(
        f"[{spelled}](#{spelled.lower().replace(' ', '-')})" for name, spelled in _FRAMEWORKS.items() if name in found
    )


def sources() -> Iterator[str]:
    """Each key of a framework that is renamed, framework by framework."""
    for name, spelled in _FRAMEWORKS.items():
        found = [each for each in SOURCES if each.framework == name]
        rows = (
            (_code(each.native), _code(each.canonical), _logged_by(each), _exact(each), each.reference)
            for each in found
        )
        yield f"### {spelled}\n\n"
        yield from _table(("key", "name", "logged by", "what exactly", "computed in"), rows)
        yield "\n"


def lookalikes() -> Iterator[str]:
    """Each key that is never renamed, by the name that it resembles."""
    found = sorted(LOOKALIKES, key=lambda each: (each.resembles, list(_FRAMEWORKS).index(each.framework)))
    rows = ((_code(each.resembles), _code(each.native), _place(each), each.why) for each in found)
    return _table(("not", "key", "of", "what it is instead"), rows)


def _place(each: Lookalike) -> str:
    return _FRAMEWORKS[each.framework] + (f", {_algorithms(each)}" if each.algorithms else "")


def trl_names() -> Iterator[str]:
    """The keys of today's TRL that are given another name."""
    renamed = [
        each
        for each in SOURCES
        if each.framework in {"transformers", "trl"} and each.native != each.canonical and not each.versions
    ]
    rows = ((_code(each.native), _code(each.canonical), _logged_by(each)) for each in renamed)
    return _table(("TRL logs", "RLDK writes", "in"), rows)


def openrlhf_names() -> Iterator[str]:
    """The keys of today's OpenRLHF that are given another name, and what one must know of them."""
    renamed = [
        each for each in SOURCES if each.framework == "openrlhf" and each.native != each.canonical and not each.versions
    ]
    rows = ((_code(each.native), _code(each.canonical), _logged_by(each), _exact(each)) for each in renamed)
    return _table(("OpenRLHF logs", "RLDK writes", "in", "what exactly"), rows)


def _logged_by(source: Source) -> str:
    who = _algorithms(source) if source.algorithms else "all"
    return f"{who}; {source.versions}" if source.versions else who


def _algorithms(each: Source | Lookalike) -> str:
    return ", ".join(_SPELLED.get(name, name.upper().replace("_", " ")) for name in each.algorithms)


def _exact(source: Source) -> str:
    article = "" if source.versus == "nothing" else "the "
    against = f"against {article}{source.versus}" if source.versus else ""
    facts = ", ".join(filter(None, (source.estimator, against, source.reduction, source.sign)))
    return "; ".join(filter(None, (facts, source.caveat)))


def rules() -> Iterator[str]:
    """Each rule in a line, group by group, and the list of their pages."""
    groups: dict[str, list[Rule]] = {}
    for rule in RULES:
        groups.setdefault(rule.group, []).append(rule)
    for group, found in groups.items():
        yield f"### {group.capitalize()}\n\n"
        rows = ((f"[`{each.name}`](rules/{each.name}.md)", each.severity, each.summary) for each in found)
        yield from _table(("rule", "at worst", "what it finds"), rows)
        yield "\n"
    yield "```{toctree}\n:hidden:\n\n"
    yield from (f"rules/{each.name}\n" for each in RULES)
    yield "```\n"


def rule_page(rule: Rule) -> str:
    """The page of a rule."""
    return "".join(_rule(rule))


def _rule(rule: Rule) -> Iterator[str]:
    yield f"# {rule.name}\n\n{_sentences(rule.summary)}\n"
    yield from _table(("", ""), ((title, text) for title, text in _rule_facts(rule) if text))
    yield f"\n## Why\n\n{_sentences(rule.why)}\n## What to do\n\n{_sentences(rule.advice)}"
    for title, entries in (("When it would be wrong", rule.traps), ("Sources", rule.references)):
        if entries:
            yield f"\n## {title}\n\n"
            yield from (f"- {_sentences(entry).rstrip().replace(chr(10), chr(10) + '  ')}\n" for entry in entries)
    yield "\n[All rules](../alerts.md)\n"


def _rule_facts(rule: Rule) -> Iterator[tuple[str, str]]:
    yield "at worst", rule.severity
    yield "about", rule.group
    yield "needs", ", ".join(map(_code, rule.needs))
    yield "needs one of", ", ".join(map(_code, rule.one_of))
    yield "needs at least", f"{rule.least} points" if rule.least > 1 else ""
    yield "applies to", ", ".join(name.upper() for name in rule.algorithms) or "all algorithms"


def generated(page: str) -> str:
    """A page with its generated parts as they have to be."""
    functions = (
        commands,
        lookalikes,
        metrics,
        openrlhf_names,
        problems,
        rules,
        sources,
        trl_names,
    )
    makers = {maker.__name__: maker for maker in functions}
    text = (ROOT / page).read_text(encoding="utf-8")
    return _PART.sub(lambda match: f"{match[1]}\n{''.join(makers[match['name']]()).strip()}\n\n{match[3]}", text)


def rule_pages() -> dict[str, str]:
    """The pages of all rules, by their path from the root."""
    return {f"{RULE_PAGES}/{rule.name}.md": rule_page(rule) for rule in RULES}


if __name__ == "__main__":
    for _page in PAGES:
        (ROOT / _page).write_text(generated(_page), encoding="utf-8")
    (ROOT / RULE_PAGES).mkdir(exist_ok=True)
    for _old in (ROOT / RULE_PAGES).iterdir():
        _old.unlink()
    for _page, _text in rule_pages().items():
        (ROOT / _page).write_text(_text, encoding="utf-8")
