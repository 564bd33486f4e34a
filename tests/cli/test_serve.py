"""`rldk serve`, as it is called."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from rldk.cli import rldk
from rldk.dashboard import server
from tests.dashboard.served import served
from tests.runs import make_event, run_python, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_it_says_where(tmp_path: Path) -> None:
    """It prints what is served, how it ends, and a link with a token of 256 bits."""
    write_attempt(tmp_path / "runs", [make_event(0)])
    with served(tmp_path / "runs", tmp_path / "cache") as server:
        assert len(server.token) == 43
        assert server.run("r")["events"] == 1


def test_a_single_log(tmp_path: Path) -> None:
    """A log can be served alone."""
    path = write_attempt(tmp_path / "runs", [make_event(0)])
    with served(path, tmp_path / "cache") as server:
        assert server.run("r")["path"] == "r_events.jsonl"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """It is refused in a sentence, with what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = run_python("-m", "rldk", "serve", tmp_path, "--port", str(port))

    assert found.returncode == 2
    assert found.stderr == f"rldk: 127.0.0.1: port {port} is taken; --port 0 finds a free one\n"


def test_without_the_extra(tmp_path: Path) -> None:
    """Where Starlette is not installed, it says what to install."""
    code = "import sys; sys.modules['starlette'] = None; from rldk.cli import main; main(['serve', sys.argv[1]])"
    found = run_python("-c", code, tmp_path)

    assert found.returncode == 2
    assert "is not installed; install it with: pip install 'rldk[serve]'" in found.stderr


def test_watch_and_tail_need_no_extra(tmp_path: Path) -> None:
    """The terminal does without a web server."""
    write_attempt(tmp_path / "runs", [make_event(0)])
    code = (
        "import sys\n"
        "for name in ('starlette', 'uvicorn', 'websockets'): sys.modules[name] = None\n"
        "from rldk.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    for command in ("watch", "tail"):
        found = run_python("-c", code, command, tmp_path / "runs", env={"RLDK_CACHE_DIR": str(tmp_path / "cache")})
        assert (found.returncode, found.stderr) == (0, ""), sys.executable


def test_it_says_that_the_charts_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RLDK was built without npm, that is said beside the link, with what to do."""

    def run_server(_: Path, sockets: list[socket.socket], *__: str, ready: Any, **___: Any) -> None:
        for each in sockets:
            each.close()
        ready()

    monkeypatch.setattr(server, "run_server", run_server)
    monkeypatch.setattr("rldk.cli.serve.PAGE", tmp_path)

    found = CliRunner().invoke(rldk, ["serve", str(tmp_path)])

    assert found.stderr == (
        "the page has no charts: this RLDK was built where there was no npm. Install npm and say pip install -e . "
        "once more, or install the package from PyPI; rldk watch shows the runs in a terminal\n"
    )
