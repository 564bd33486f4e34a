"""What the documentation says is true: its examples run, and what can be documented is."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
import typing
from typing import TYPE_CHECKING, Any, Final

import click
import pytest

import rldk
from rldk.alerts import PRESETS, Alert, Story, Verdict
from rldk.alerts.findings import SEVERITIES, Health
from rldk.alerts.rules_file import ACTIONS
from rldk.cli import rldk as command_line
from rldk.io.codec import decode
from rldk.io.event_schema import PHASES, RULES, Event
from rldk.io.manifest import Attempt, Manifest, Outcome
from rldk.io.reader import Mode
from rldk.io.writer import Counters, WriterOptions
from rldk.metrics import LOOKALIKES, METRICS, SOURCES
from rldk.report.final import DataQuality, FinalReport, ReportOutcome
from tests.pages import PAGES, ROOT, RUN, Block, Reading, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

TRL: Final = "src/rldk/integrations/trl/README.md"
OPENRLHF: Final = "src/rldk/integrations/openrlhf/README.md"
BLOCKS: Final = [block for page in PAGES for block in blocks(page)]
EXAMPLES: Final = [
    pytest.param(block, id=block.name, marks=[pytest.mark.trl] if block.trl else []) for block in BLOCKS if block.runs
]
CHECKED: Final = frozenset({"json", "toml"})
DRAWN: Final = frozenset({"", *(f"{{include}} ../../{page}" for page in (TRL, OPENRLHF)), "{toctree}"})

_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\((?P<to>[^)\s]+)\)")
_CODE: Final = re.compile(r"\A(?P<code>[a-z]+(?:_[a-z]+)*): ")


def text(page: str) -> str:
    """A page as it is written."""
    return (ROOT / page).read_text(encoding="utf-8")


def rows(page: str, heading: str) -> set[str]:
    """What stands as code in the first column of the first table below a heading."""
    section = text(page).partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table, f"{page} has no table below {heading!r}"
    return {name for row in table[0].splitlines() for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


def sources() -> Iterator[tuple[str, str]]:
    """Each module of the package: its path from the root, and its text."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reading]:
    """Each page, read once."""
    begun: dict[str, Reading] = {}

    def read(page: str) -> Reading:
        if page not in begun:
            begun[page] = Reading(page, tmp_path_factory.mktemp("page"))
        return begun[page]

    return read


@pytest.fixture
def generate() -> ModuleType:
    """The script that writes the generated parts."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("block", EXAMPLES)
def test_an_example_runs_and_prints_what_is_shown(block: Block, reading: Callable[[str], Reading]) -> None:
    """Each example runs in a real folder, after those above it on its page, and prints what the page shows."""
    if block.misses:
        pytest.skip(f"{block.misses} is not installed")

    reading(block.page).run(block)


@pytest.mark.trl
@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_a_script_in_examples_runs(script: Path, tmp_path: Path) -> None:
    """Each script in `examples` runs to its end."""
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.installs], ids=lambda block: block.name)
def test_what_a_page_installs_and_makes_exists(block: Block) -> None:
    """`make` is shown with targets of the Makefile, `pip install` with extras of the project and its torch."""
    project = tomllib.loads(text("pyproject.toml"))["project"]
    makefile = text("Makefile")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    torch = re.findall(r"^TORCH \?= (.*)$", makefile, re.MULTILINE)

    for line in block.text.splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets, line
            continue
        assert [program, words[0]] == ["pip", "install"], line
        for word in words[1:]:
            name, _, extra = word.rstrip("]").partition("[")
            assert name in {project["name"], ".", *torch}, line
            assert not extra or extra in project["optional-dependencies"], line


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind in CHECKED], ids=lambda block: block.name)
def test_json_that_is_shown_is_json_and_its_events_are_events(block: Block) -> None:
    """Each block of JSON or TOML parses; one that has a step is an event, strictly."""
    shown = (tomllib if block.kind == "toml" else json).loads(block.text)

    if "step" in shown:
        assert decode(json.dumps(shown).encode()).step == shown["step"]


def test_there_is_no_block_that_nobody_checks() -> None:
    """Every block is run, compared, parsed, or says why it is not."""
    unknown = [block.name for block in BLOCKS if block.kind not in RUN | CHECKED | DRAWN]

    assert unknown == []


def test_the_example_of_the_specification_is_in_the_readme() -> None:
    """The seven fields are shown as the specification has them."""
    (shown,) = (json.loads(block.text) for block in BLOCKS if block.page == "README.md" and block.kind == "json")

    assert list(shown) == ["step", "wall_time", "metrics", "rng", "data_slice", "model_info", "notes"]
    assert shown["model_info"]["run_id"] == "my_training_run"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Each link to a file of the project finds it, and each link to a heading its heading."""
    for match in _LINK.finditer(text(page)):
        target, _, anchor = match["to"].partition("#")
        if target.startswith(("http://", "https://")):
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page}: {match[0]}"
        assert not anchor or anchor in anchors(path), f"{page}: {match[0]}"


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a page, those of a page it includes among them."""
    page = path.read_text(encoding="utf-8")
    if included := re.search(r"^```\{include\} (.*)$", page, re.MULTILINE):
        page += (path.parent / included[1]).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_table_of_contents() -> None:
    """No page of `docs` is out of reach."""
    listed = {
        f"{block.page.rpartition('/')[0]}/{line}.md"
        for block in BLOCKS
        if block.kind == "{toctree}"
        for line in block.text.splitlines()
        if line and not line.startswith(":")
    }

    assert listed == {page for page in PAGES if page.startswith("docs/")} - {"docs/index.md"}


@pytest.mark.parametrize("page", PAGES)
def test_each_sentence_has_a_line_of_its_own(page: str) -> None:
    """A line of prose ends where its sentence ends."""
    prose = re.sub(r"^```.*?^```$|`[^`]*`|^[|#<].*$", "", text(page), flags=re.MULTILINE | re.DOTALL)

    assert re.findall(r"^.*[a-z)][.?!] [A-Z`].*$", prose, re.MULTILINE) == []


def test_generated_parts_are_fresh(generate: ModuleType) -> None:
    """What the code can tell stands in the pages as the code tells it; `python docs/generate.py` writes it anew."""
    stale = [page for page in generate.PAGES if generate.generated(page) != text(page)]
    rules = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / generate.RULE_PAGES).iterdir()}

    assert stale == []
    assert rules == generate.rule_pages()


def test_every_command_and_option_is_documented() -> None:
    """Each command has a section with all of its options, and each command and option has help."""
    context = click.Context(command_line, info_name="rldk")
    page = text("docs/reference/cli.md")
    for name in command_line.list_commands(context):
        command = command_line.get_command(context, name)
        assert command
        assert command.help
        assert f"\n## rldk {name}\n" in page
        assert f"`rldk {name}`" in text("README.md")
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.opts[0]} has no help"
                assert re.search(rf"`{option.opts[0]}[ `]", page), f"{name} {option.opts[0]}"


def test_every_environment_variable_is_documented() -> None:
    """The variables that the code reads are those in the tables of the TRL page and of the reference of Python."""
    read = {name for _, source in sources() for name in re.findall(r"\bRLDK_[A-Z_]*[A-Z]", source)}
    heading = "## Environment variables"

    assert rows(TRL, heading) | rows("docs/reference/python.md", heading) == read


def test_every_field_of_an_event_is_documented() -> None:
    """The reference has each field and each key that RLDK relies on, and the TRL page names each field."""
    known = rows("docs/reference/event.md", "## Known keys")

    assert rows("docs/reference/event.md", "## Fields") == set(Event.__struct_fields__)
    assert {f"model_info.{name}" for name in RULES} <= known
    assert [name for name in Event.__struct_fields__ if f"`{name}`" not in text(TRL)] == []
    assert [phase for phase in PHASES if f"`{phase}`" not in text("docs/reference/event.md")] == []


@pytest.mark.trl
def test_every_key_that_the_callback_writes_is_documented(reading: Callable[[str], Reading]) -> None:
    """The sections of a real event hold no key that the reference does not know."""
    first = next(block for block in blocks("README.md") if block.runs and block.trl)
    page = reading("README.md")
    page.run(first)
    keys = {
        f"{section}.{key}"
        for event in rldk.read_events(page.folder / "rldk_logs")
        for section in ("rng", "data_slice", "model_info")
        for key in getattr(event, section)
    }

    assert keys - rows("docs/reference/event.md", "## Known keys") == set()


def test_every_code_of_a_note_is_documented() -> None:
    """The codes in the table of the TRL page, and the one of OpenRLHF's samples, are those that recording writes."""
    recording = re.compile(r"src/rldk/(io|report|integrations)/|src/rldk/adapters/trl_logs\.py")
    written = {code for path, source in sources() if recording.match(path) for code in codes(source)}

    assert rows(TRL, "## Notes") | {"sample"} == written - {"rldk", "usage"}
    assert "`sample: " in text(OPENRLHF)


def test_every_code_in_the_table_of_the_formats_is_written() -> None:
    """Each note that the reference of formats explains is one that an adapter writes."""
    written = {code for path, source in sources() if "/adapters/" in path for code in codes(source)}

    assert rows("docs/reference/formats.md", "## Notes") <= written


def codes(source: str) -> Iterator[str]:
    """What texts of a module begin with, when it is the code of a note; messages of errors left out."""
    tree = ast.parse(source)
    raised = {id(node) for error in ast.walk(tree) if isinstance(error, ast.Raise) for node in ast.walk(error)}
    for node in strings(tree):
        if id(node) not in raised:
            yield from (match["code"] for match in _CODE.finditer(node.value))


def strings(tree: ast.AST) -> Iterator[Any]:
    """The string constants in a module, and the constant parts of those with gaps."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node


def test_messages_that_are_explained_are_those_of_the_code() -> None:
    """Each message quoted under "Trouble" is, but for what stands in its gaps, one that the code can give."""
    said = [node.value for _, source in sources() for node in strings(ast.parse(source))]
    for page in (TRL, OPENRLHF):
        quoted = re.findall(r'^\*\*"(.+?)(?: \.\.\.)?"\*\*', text(page), re.MULTILINE)

        assert quoted
        for message in quoted:
            assert all(any(part in each for each in said) for part in message.split(", ")), message


def test_every_public_name_is_documented() -> None:
    """The reference of Python names all that `rldk` offers, and each exception in its table."""
    page = text("docs/reference/python.md")

    assert [name for name in rldk.__all__ if f"`{name}" not in page] == []
    assert rows("docs/reference/python.md", "## Errors") == {
        name for name in rldk.__all__ if name.endswith("Error") and name != "RLDKError"
    }


@pytest.mark.parametrize("name", ["ingest_events", "ingest_runs", "open_writer", "read_events", "validate_jsonl_file"])
def test_signatures_are_documented(name: str) -> None:
    """A function is shown with each of its arguments and its default."""
    shown = re.search(rf"`{name}\((.*?)\)`", text("docs/reference/python.md"))
    assert shown
    function = getattr(rldk, name)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]

    assert shown[1].replace('"', "'") == str(inspect.Signature(parameters))[1:-1]


@pytest.mark.parametrize(
    ("page", "name"),
    [pytest.param(TRL, "trl.RLDKCallback", marks=pytest.mark.trl), (OPENRLHF, "openrlhf.OpenRLHFCallback")],
)
def test_every_argument_of_a_callback_is_documented(page: str, name: str) -> None:
    """The table of its page has each argument with its default."""
    module, _, callback = name.rpartition(".")
    shown = text(page)
    parameters = dict(
        inspect.signature(getattr(importlib.import_module(f"rldk.integrations.{module}"), callback)).parameters
    )
    # What it hands on to the writer has the writer's defaults.
    assert parameters.pop("options").kind is inspect.Parameter.VAR_KEYWORD
    handed_on = inspect.signature(rldk.open_writer).parameters
    parameters |= {name: handed_on[name] for name in WriterOptions.__annotations__}

    assert rows(page, "## Configuration") - {callback} == set(parameters)
    for argument, parameter in parameters.items():
        default = json.dumps(parameter.default) if isinstance(parameter.default, str) else repr(parameter.default)
        assert f"| `{argument}` | `{default}` |" in shown


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("docs/explanation/durability.md", typing.get_args(Mode)),
        ("docs/reference/files.md", Manifest.__struct_fields__),
        ("docs/reference/files.md", Attempt.__struct_fields__),
        ("docs/reference/files.md", Counters.__struct_fields__),
        ("docs/reference/files.md", FinalReport.__struct_fields__),
        ("docs/reference/files.md", DataQuality.__struct_fields__),
        ("docs/reference/alerts.md", Alert.__struct_fields__),
        ("docs/reference/alerts.md", Story.__struct_fields__),
        ("docs/reference/alerts.md", Verdict.__struct_fields__),
        ("docs/reference/alerts.md", typing.get_args(Health)),
        ("docs/howto/alerts.md", SEVERITIES),
        ("docs/howto/alerts.md", ACTIONS),
        ("docs/howto/diagnose.md", PRESETS),
        ("docs/reference/files.md", typing.get_args(ReportOutcome)),
        (TRL, typing.get_args(Outcome)),
        ("docs/reference/python.md", rldk.Report.__struct_fields__),
        ("docs/reference/metrics.md", tuple(METRICS)),
        ("docs/reference/metrics.md", tuple(source.native for source in SOURCES)),
        ("docs/reference/metrics.md", tuple(each.native for each in LOOKALIKES)),
    ],
)
def test_every_word_of_a_closed_set_is_documented(page: str, words: tuple[Any, ...]) -> None:
    """Fields of derived files, modes, outcomes and names of metrics are explained where one looks for them."""
    assert [word for word in words if f"`{word}`" not in text(page)] == []


def test_the_promises_are_those_of_the_design() -> None:
    """README and Durability have each promise from P1 to P13."""
    row = re.compile(r"^\| (P\d+) \| .+ \|$", re.MULTILINE)
    expected = [f"P{number}" for number in range(1, 14)]

    assert row.findall(text("README.md")) == expected
    assert row.findall(text("docs/explanation/durability.md")) == expected


@pytest.mark.parametrize("promise", [f"P{number}" for number in range(1, 14)])
def test_a_promise_is_held_by_tests_that_were_seen_to_fail(promise: str) -> None:
    """The tests that Durability names for it are there, and each says what was broken to see it fail."""
    row = re.search(rf"^\| {promise} \| .* \| (.*) \|$", text("docs/explanation/durability.md"), re.MULTILINE)
    assert row
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", row[1])

    assert named
    for path, name in named:
        tests = {node.name: node for node in ast.parse(text(path)).body if isinstance(node, ast.FunctionDef)}
        assert "Seen to fail when" in (ast.get_docstring(tests[name]) or "")
