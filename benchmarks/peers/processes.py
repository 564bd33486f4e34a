"""Start, time and kill the processes of the loggers, each in its own Python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.peers.catalogue import COMMON, NOWHERE, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
_SIDECARS: Final = 8.0
"""How long the processes that descend from a killed one are given to end by themselves."""


class FailedError(Exception):
    """There is no result; the message says why, in a line."""


class EndlessError(FailedError):
    """A process did not end in its time; `answer` is what it had answered by then, None when nothing."""

    def __init__(self, limit: float, answer: Any) -> None:
        super().__init__(f"no end in {limit:.0f} s")
        self.answer = answer


class Installed(NamedTuple):
    """A peer, the Python that has it, and its version."""

    peer: Peer
    python: str
    version: str = ""


def install(peer: Peer, place: Path, *, limit: float = 600.0) -> Installed:
    """Give a peer a virtual environment, or find the one it has; this Python does when it needs no package."""
    if not peer.packages:
        return Installed(peer, sys.executable, "" if peer.ours else _version(sys.executable, peer.name))
    home = place / peer.name
    python = str(home / "bin" / "python")
    if not (home / "installed").exists():
        shutil.rmtree(home, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(home)], limit)
        _run([python, "-m", "pip", "install", "--quiet", *peer.packages], limit)
        (home / "installed").touch()
    return Installed(peer, python, "" if peer.ours else _version(python, peer.packages[0]))


def _version(python: str, package: str) -> str:
    return _run([python, "-c", f"from importlib.metadata import version; print(version({package!r}))"], 60.0).strip()


def _run(command: list[str], limit: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)  # noqa: S603 - ours
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"not done in {limit:.0f} s") from error
    if done.returncode:
        raise FailedError(_last_line(done.stderr) or f"exit code {done.returncode}")
    return done.stdout


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [""])[-1]


class Child:
    """A process of a logger at work on a folder.

    Args:
        installed: the logger.
        do: what it does, a function of `benchmarks.peers.child`.
        folder: where it logs.
        request: the other arguments of that function.
    """

    def __init__(self, installed: Installed, do: str, folder: Path, **request: Any) -> None:
        self._desk = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{do}-"))
        self._answer = self._desk / "answer.json"
        asked = {"peer": installed.peer.name, "do": do, "folder": str(folder), "answer": str(self._answer), **request}
        with (self._desk / "output").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [installed.python, "-P", "-m", "benchmarks.peers.child", json.dumps(asked)],
                cwd=self._desk,
                env=_environment(installed.peer, folder, self._desk),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def answer(self, limit: float, *, growing: Path | None = None) -> Any:
        """What it answers, in so many seconds; each time a file grows these begin anew, up to ten times as many.

        Raises:
            FailedError: it has ended without.
            EndlessError: it has not ended in time.
        """
        last, size = time.monotonic(), 0
        end = last + (10 * limit if growing else limit)
        while self.running():
            if growing and growing.exists() and growing.stat().st_size > size:
                last, size = time.monotonic(), growing.stat().st_size
            if time.monotonic() > min(last + limit, end):
                self.kill(tree=True)
                raise EndlessError(limit, (self._answered() or {}).get("result"))
            time.sleep(0.01)
        answered = self._answered()
        if answered is None:
            raise FailedError(_last_line(self.output()) or f"exit code {self._process.returncode}")
        return answered["result"]

    def _answered(self) -> Any:
        return json.loads(self._answer.read_text(encoding="utf-8")) if self._answer.exists() else None

    def output(self) -> str:
        """What it has printed."""
        return (self._desk / "output").read_text(encoding="utf-8", errors="replace")

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self, *, tree: bool) -> None:
        """Kill the process, and all that descend from it; else wait a while for these to end by themselves."""
        others = list(_descendants(self._process.pid))
        self._process.kill()
        if not tree:
            until = time.monotonic() + _SIDECARS
            while time.monotonic() < until and any(map(_lives, others)):
                time.sleep(0.05)
        for other in filter(_lives, others):
            os.kill(other, signal.SIGKILL)
        self._process.wait()


def _environment(peer: Peer, folder: Path, home: Path) -> dict[str, str]:
    """Nothing of the user's own settings, and no way to the network."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    paths = [str(ROOT), *([] if peer.packages else filter(None, [os.environ.get("PYTHONPATH")]))]
    own = {name: value.format(folder=folder) for name, value in (*COMMON, *peer.environment)}
    return kept | proxies | own | {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": os.pathsep.join(paths)}


def _descendants(root: int) -> Iterator[int]:
    """The processes that descend from one, on systems with `/proc`."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(path.name)):
            children.setdefault(int(fields[1]), []).append(int(path.name))
    waiting = [root]
    while waiting:
        found = children.get(waiting.pop(), [])
        yield from found
        waiting += found


def _lives(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _stat(pid: int) -> list[str]:
    """State, parent and so on of a process; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def mount(folder: Path, kibibytes: int) -> None:
    """Make a folder a small disk of its own in memory."""
    if os.geteuid():
        raise FailedError("needs root")
    _run(["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)], 10.0)


def unmount(folder: Path) -> None:
    """Give the small disk up, even if somebody still uses it."""
    _run(["umount", "-l", str(folder)], 10.0)
