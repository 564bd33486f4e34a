"""The command line as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rldk.cli import _COMMANDS, rldk
from rldk.io.codec import encode
from tests.runs import clean_environment, make_event, run_python

COMMANDS = sorted(_COMMANDS)


def command(name: str) -> click.Command:
    """A command of the command line."""
    found = rldk.get_command(click.Context(rldk), name)
    assert found is not None
    return found


def test_help_lists_every_command() -> None:
    """Each command stands there with what it does; each module of the folder that is a command is listed."""
    done = CliRunner().invoke(rldk, ["--help"])
    folder = Path(sys.modules["rldk.cli"].__file__ or "").parent
    modules = {path.stem for path in folder.glob("*.py") if "@click.command" in path.read_text(encoding="utf-8")}

    assert done.exit_code == 0
    assert modules == set(COMMANDS)
    assert rldk.list_commands(click.Context(rldk)) == COMMANDS
    for name, text in _COMMANDS.items():
        assert f"  {name:<9} {text}" in done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    """A command says what it does and shows how; every option says what it is for."""
    done = CliRunner().invoke(rldk, [name, "--help"])
    options = [param for param in command(name).params if isinstance(param, click.Option)]

    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: rldk {name} ")
    assert f"  rldk {name}" in done.output
    assert [option.name for option in options if not option.help] == []


def test_the_version_is_that_of_the_package() -> None:
    """`rldk --version`, in every way to call it."""
    script = Path(sys.executable).with_name("rldk")
    calls = [[str(script)], [sys.executable, "-m", "rldk"]]
    shown = [
        subprocess.run([*call, "--version"], capture_output=True, text=True, check=True, env=clean_environment()).stdout
        for call in calls
    ]

    assert shown == [f"rldk {version('rldk')}\n"] * 2


def test_an_unknown_command_is_wrong_usage() -> None:
    """Exit 2 and a hint."""
    done = CliRunner().invoke(rldk, ["nonsense"])

    assert done.exit_code == 2
    assert "No such command 'nonsense'." in done.output


def test_without_a_command_there_is_help() -> None:
    """`rldk` alone is wrong usage, answered with all that can be said."""
    done = run_python("-m", "rldk")

    assert done.returncode == 2
    assert "  validate  Check event logs" in done.stderr


IMPORTS = """
import json, sys
from rldk.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
sys.stderr.write(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["validate", "--help"], ["schema"]])
def test_the_command_line_imports_nothing_heavy(arguments: list[str]) -> None:
    """Listing commands loads none of them, and no command loads a trainer or a table."""
    done = run_python("-c", IMPORTS, *arguments)
    modules = set(json.loads(done.stderr))

    assert modules & {"torch", "transformers", "trl", "datasets", "pandas", "numpy"} == set()
    if arguments == ["--help"]:
        assert modules & {"msgspec", "rich"} == set()


def test_a_full_disk_behind_standard_output_is_a_sentence() -> None:
    """Output that cannot be written is told, with exit 2."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rldk", "schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=clean_environment(),
        )

    assert done.returncode == 2
    assert done.stderr.startswith("rldk: [Errno 28] No space left on device\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["validate", "r_events.jsonl"],
        ["validate", "--strict", "r_events.jsonl"],
        ["verify", "r_events.jsonl"],
        ["repair", "r_events.jsonl"],
        ["repair", "--salvage", "r_events.jsonl"],
        ["tail", "r_events.jsonl"],
        ["report", "r_events.jsonl", "--rules", "rules\x1b[2J.toml"],
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_codes(tmp_path: Path, command: list[str]) -> None:
    """Damage is any bytes, and a note any text: none of them clears the screen or rings the bell."""
    event = encode(make_event(1, notes=["red \x1b[31m"]))
    (tmp_path / "r_events.jsonl").write_bytes(event + b'{"step":"\x1b[2J\x07"}\n')
    done = run_python("-m", "rldk", *command, cwd=tmp_path)

    assert "\\x1b[2J" in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "\x07" not in done.stdout + done.stderr
