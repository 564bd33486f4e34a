"""Where a run comes from is written down, and what is secret is not."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from rldk.integrations import provenance
from rldk.integrations.provenance import git_state, process_facts, redacted, seeds, versions
from tests.runs import run_python
from tests.samples import HARMLESS_NAMES, SECRET_NAMES

# Secrets


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_what_is_named_like_a_secret_is_left_out(name: str) -> None:
    """Whatever its value is, only that there was one is written down."""
    for value in ("hf_abc", 1234, ["a", "b"], {"a": "b"}, 0.5, True):
        assert redacted({name: value}) == {name: "<redacted>"}


@pytest.mark.parametrize("value", [None, "", False])
def test_a_secret_that_is_not_set_is_shown_as_such(value: Any) -> None:
    """That there was none is no secret, and worth knowing."""
    assert redacted({"hub_token": value}) == {"hub_token": value}


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_what_only_sounds_similar_is_kept(name: str) -> None:
    """Counts of tokens and their kind are what a run is compared by."""
    assert redacted({name: "value"}) == {name: "value"}


def test_secrets_are_found_at_any_depth() -> None:
    """In dicts in dicts, in lists of dicts, and in tuples; what stands around them is kept."""
    arguments = {
        "model_init_kwargs": {"token": "hf_a", "revision": "main"},
        "reporters": [{"name": "wandb", "api_key": "k"}, ({"password": "p"}, 1)],
        "hub_token": "hf_b",
    }

    assert redacted(arguments) == {
        "model_init_kwargs": {"token": "<redacted>", "revision": "main"},
        "reporters": [{"name": "wandb", "api_key": "<redacted>"}, [{"password": "<redacted>"}, 1]],
        "hub_token": "<redacted>",
    }


def test_what_was_given_is_not_changed() -> None:
    """The trainer's own arguments keep their secrets."""
    arguments = {"hub_token": "hf_a", "nested": {"api_key": "k"}}
    redacted(arguments)

    assert arguments == {"hub_token": "hf_a", "nested": {"api_key": "k"}}


def test_what_is_no_json_becomes_text() -> None:
    """Paths, sets, NaN, odd keys and bytes that are no text: everything can be written to the manifest."""
    found = redacted(
        {
            "path": Path("/data"),
            "nan": math.nan,
            "inf": -math.inf,
            "float": 0.1,
            "count": 3,
            "flag": True,
            "none": None,
            "tuple": (1, "a"),
            7: "seven",
            "file": os.fsdecode(b"caf\xe9"),
            os.fsdecode(b"\xff"): 1,
        }
    )

    assert found == {
        "path": repr(Path("/data")),
        "nan": "nan",
        "inf": "-inf",
        "float": 0.1,
        "count": 3,
        "flag": True,
        "none": None,
        "tuple": [1, "a"],
        "7": "seven",
        "file": "caf\\udce9",
        "\\udcff": 1,
    }
    assert json.loads(msgspec.json.encode(found)) == found


# The process


def test_the_process_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its number, host, working folder and command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "--steps", "30"])

    assert process_facts() == {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "cwd": str(tmp_path),
        "argv": ["train.py", "--steps", "30"],
    }


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--hub_token", "hf_a", "--lr", "1"], ["--hub_token", "<redacted>", "--lr", "1"]),
        (["--hub-token=hf_a", "--lr=1"], ["--hub-token=<redacted>", "--lr=1"]),
        (["--api-key", "k"], ["--api-key", "<redacted>"]),
        (["-key", "k"], ["-key", "<redacted>"]),
        (["--wandb.api_key=a=b"], ["--wandb.api_key=<redacted>"]),
        (["--token", "--password", "p"], ["--token", "<redacted>", "<redacted>"]),
        (["trainer.hub_token=hf_a", "trainer.lr=1"], ["trainer.hub_token=<redacted>", "trainer.lr=1"]),
        (["+model.api_key=k", "++password=p"], ["+model.api_key=<redacted>", "++password=<redacted>"]),
        (["HF_TOKEN=hf_a", "token", "x"], ["HF_TOKEN=<redacted>", "token", "x"]),
        (["--max_tokens", "5", "--pad_token_id=0"], ["--max_tokens", "5", "--pad_token_id=0"]),
        (["--hub_token"], ["--hub_token"]),
        ([os.fsdecode(b"caf\xe9.py")], ["caf\\udce9.py"]),
    ],
)
def test_secrets_on_the_command_line_are_left_out(
    monkeypatch: pytest.MonkeyPatch, words: list[str], shown: list[str]
) -> None:
    """As a flag with its value after a space or an equals sign, and in the form name=value that Hydra takes."""
    monkeypatch.setattr(sys, "argv", ["train.py", *words])

    assert process_facts()["argv"] == ["train.py", *shown]


def test_a_working_folder_that_is_gone_is_no_reason_not_to_record(tmp_path: Path) -> None:
    """A job whose scratch folder was removed under it is recorded, without that fact."""
    code = (
        "import os; from rldk.integrations.provenance import process_facts; "
        "os.rmdir(os.getcwd()); print(process_facts()['cwd'])"
    )
    done = run_python("-c", code, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


def test_versions_are_of_what_is_installed() -> None:
    """Python and those of the packages that are there; no version is made up for the others."""
    found = versions("msgspec", "no-such-package")

    assert found == {"python": ".".join(map(str, sys.version_info[:3])), "msgspec": msgspec.__version__}


# Git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in a repository with one commit, as the working folder."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (tmp_path / "train.py").write_text("one")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-q", "-m", "first")
    return tmp_path


def git(*arguments: str) -> str:
    """Run git in the working folder."""
    done = subprocess.run([shutil.which("git") or "git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("folder", [".", "folder"])
def test_the_commit_is_known(repository: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """In a repository without changes, anywhere in it: the full hash, and that it is clean."""
    monkeypatch.chdir(repository / folder)

    assert git_state() == {"sha": git("rev-parse", "HEAD"), "dirty": False}
    assert len(git_state()["sha"]) == 40


@pytest.mark.parametrize("staged", [False, True])
def test_changes_are_told(repository: Path, staged: bool) -> None:  # noqa: FBT001 - a parameter of a test
    """A changed file makes it dirty, added to the index or not; a file git does not know does not."""
    (repository / "new.txt").write_text("x")
    untracked = git_state()["dirty"]
    (repository / "train.py").write_text("two")
    if staged:
        git("add", "train.py")

    assert (untracked, git_state()["dirty"]) == (False, True)


def test_git_is_asked_and_not_disturbed(repository: Path) -> None:
    """Looking takes no lock and changes nothing in the repository."""
    before = {path: path.stat().st_mtime_ns for path in sorted((repository / ".git").rglob("*"))}
    git_state()

    assert {path: path.stat().st_mtime_ns for path in sorted((repository / ".git").rglob("*"))} == before


def test_outside_a_repository_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No repository: no commit, and no error."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)

    assert git_state() == {}


def test_a_repository_without_a_commit_has_none(repository: Path) -> None:
    """A freshly made repository has no commit to name."""
    shutil.rmtree(repository / ".git")
    git("init", "-q")

    assert git_state() == {}


def fake_git(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put another program in git's place, and give it half a second."""
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(provenance, "_GIT_PATIENCE", 0.5)


def test_without_git_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git trains all the same."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert git_state() == {}


@pytest.mark.parametrize("script", ["exec sleep 20", "sleep 3 & wait"], ids=["itself", "a child of it"])
def test_a_git_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """On a file system that does not answer, training begins after the patience is over."""
    patience = provenance._GIT_PATIENCE
    fake_git(tmp_path, monkeypatch, script)
    began = time.monotonic()
    found = git_state()

    assert found == {}
    assert time.monotonic() - began < 2.5
    assert patience <= 2


def test_a_git_that_hangs_over_the_changes_still_names_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether there are changes is then unknown, not False."""
    fake_git(tmp_path, monkeypatch, 'test "$1" = rev-parse && echo abc && exit; exec sleep 20')

    assert git_state() == {"sha": "abc", "dirty": None}


@pytest.mark.parametrize("script", ["exit 1", "printf '\\377\\376'", "kill -9 $$"])
def test_a_git_that_fails_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An exit code, bytes that are no text, a signal: nothing is known, nothing is raised."""
    fake_git(tmp_path, monkeypatch, script)

    assert git_state() == {}


# Seeds


@pytest.mark.parametrize(
    ("variable", "seed"),
    [(None, None), ("", None), ("0", 0), ("42", 42), ("4294967295", 2**32 - 1), ("random", "random")],
)
def test_the_hash_seed_is_as_it_was_set(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, seed: int | str | None
) -> None:
    """PYTHONHASHSEED as a number where it is one; unset is not 0."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    if variable is not None:
        monkeypatch.setenv("PYTHONHASHSEED", variable)

    assert seeds(7) == {
        "seed": 7,
        "python_hash_seed": seed,
        "torch_seed": None,
        "numpy_seed": None,
        "random_seed": None,
    }


@pytest.mark.parametrize(
    ("initial", "seed"),
    [(42, 42), (0, 0), (2**63 - 1, 2**63 - 1), (2**63, str(2**63)), (2**64 - 1, str(2**64 - 1))],
)
def test_the_seed_of_torch_is_asked_for(monkeypatch: pytest.MonkeyPatch, initial: int, seed: int | str) -> None:
    """Where torch is loaded it says its seed; one beyond 63 bits is kept to the digit, as text."""
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(initial_seed=lambda: initial))  # type: ignore[arg-type]

    assert seeds(None)["torch_seed"] == seed


def test_no_seed_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer without a seed has none."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    assert set(seeds(None).values()) == {None}
