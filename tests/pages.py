"""The pages of the documentation, and how the examples in them are run.

The examples of a page are run from top to bottom in one folder, and those in Python share their names.
Comments in a page say what cannot be seen in an example:

- `<!-- given: rldk_logs -->`: the folder holds a small log before the first example is run.
- `<!-- trl -->`: from here on the examples train with TRL, or use what was trained.
- `<!-- not run: reason -->`: the next example is not run.

A `text` block is what the example right above it prints. A `console` block holds commands behind `$` and what
they print. A line `...` in either stands for any lines. Names, times and what a training computes are not compared.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from rldk.io.codec import encode
from rldk.io.event_schema import Event
from rldk.io.manifest import Attempt, Manifest
from rldk.io.segments import log_path, run_log
from tests.runs import write_manifest

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *(ROOT / "src").rglob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if "_build" not in path.parts
)
"""Every page with examples, as a path from the root."""

RUN: Final = frozenset({"bash", "console", "python", "yaml"})
"""The kinds of blocks that are run; `bash` with nothing but `pip` or `make` is compared with the project instead."""

_BLOCK: Final = re.compile(
    r"^<!-- (?P<comment>[a-z ]+(?:: .*?)?) -->$|^```(?P<kind>.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE
)
_RUN_ID: Final = "grpo-20260131T235959-1f3a"
_UNLIKE: Final = (
    (re.compile(r"\b[a-z]+-\d{8}T\d{6}-[0-9a-f]{4}(?![0-9a-f])"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r"[▁▂▃▄▅▆▇█]+"), "▁"),
    (re.compile(r"\b\d+\.\d s\b"), "SECONDS"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r" $", re.MULTILINE), ""),
)
_COMPUTED: Final = (
    (re.compile(r"^.*▁.*$", re.MULTILINE), lambda row: _NUMBER.sub("#", row[0])),
    (re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+|\d{3,}|\d+(?= a second)"), "#"),
)
_NUMBER: Final = re.compile(r"-?\d[\d.e+-]*")


class Block(NamedTuple):
    """A fenced block of a page.

    `output` is what it prints, None where the page does not show it. `reason` says why it is not run.
    """

    page: str
    line: int
    kind: str
    text: str
    trl: bool
    reason: str
    output: str | None = None

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"

    @property
    def installs(self) -> bool:
        """Whether it is made of commands that install or build; they are checked, not run."""
        return self.kind == "bash" and re.match(r"(pip|make) ", self.text) is not None

    @property
    def misses(self) -> str:
        """The program that it needs and this machine has not; empty when there is none."""
        return "jq" if re.search(r"\bjq\b", self.text) and not shutil.which("jq") else ""

    @property
    def runs(self) -> bool:
        """Whether it is an example to be run."""
        return self.kind in RUN and not self.reason and not self.installs


def blocks(page: str) -> list[Block]:
    """The blocks of a page, the output of an example joined to it."""
    found: list[Block] = []
    trl, reason = False, ""
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        if comment := match["comment"]:
            trl = trl or comment == "trl"
            reason = comment.partition(": ")[2] if comment.startswith("not run") else reason
            continue
        if match["kind"] == "text" and found and found[-1].output is None:
            found[-1] = found[-1]._replace(output=match["text"])
            continue
        line = text.count("\n", 0, match.start()) + 1
        demo = "rldk demo" in match["text"]
        found.append(Block(page, line, match["kind"], match["text"], trl or demo, reason))
        reason = ""
    return found


class Reading:
    """A page being read: its examples are run in a folder of its own, each once and after those above it."""

    def __init__(self, page: str, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._examples = [block for block in blocks(page) if block.runs]
        self._done: set[Block] = set()
        self._trained = False
        if "<!-- given: rldk_logs -->" in (ROOT / page).read_text(encoding="utf-8"):
            _give_logs(folder)

    def run(self, block: Block) -> None:
        """Run an example, and first what stands above it; what trains there only if this one trains."""
        for example in self._examples[: self._examples.index(block) + 1]:
            if example not in self._done and not example.misses and (block.trl or not example.trl):
                self._done.add(example)
                self._run(example)

    def _run(self, block: Block) -> None:
        with contextlib.chdir(self.folder):
            if block.kind == "python":
                self._run_python(block)
            elif block.kind == "console":
                self._run_console(block)
            else:
                commands = re.findall(r"(?<=- run: ).*", block.text) if block.kind == "yaml" else [block.text]
                for command in commands:
                    code, output = _shell(command)
                    assert code == 0, f"{block.name}: {output}"
                    _compare(block, block.output, output)

    def _run_python(self, block: Block) -> None:
        if block.trl and not self._trained:
            self._trained = True
            self._names |= _training()
        printed = io.StringIO()
        code = compile("\n" * block.line + block.text, ROOT / block.page, "exec", dont_inherit=True)
        with contextlib.redirect_stdout(printed):
            exec(code, self._names)  # noqa: S102 - our own examples
        _compare(block, block.output, printed.getvalue())

    @staticmethod
    def _run_console(block: Block) -> None:
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            _compare(block, expected, _shell(command)[1])


def _shell(command: str) -> tuple[int, str]:
    done = subprocess.run(
        ["/bin/bash", "-eu", "-o", "pipefail", "-c", command],
        env=_surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def _surroundings() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RLDK_", "PYTHON"))}
    return kept | {
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TERM": "dumb",
    }


def _compare(block: Block, expected: str | None, printed: str) -> None:
    if expected is None:
        return
    parts = re.split(r"^\.\.\.\n", _alike(expected, computed=block.trl), flags=re.MULTILINE)
    pattern = "(?:.*\n)*?".join(map(re.escape, parts))
    found = _alike(printed, computed=block.trl)
    assert re.fullmatch(pattern, found), f"{block.name} prints:\n{printed}\nwhich is compared as:\n{found}"


def _alike(text: str, *, computed: bool) -> str:
    """What a text has in common with that of another run."""
    for pattern, instead in _UNLIKE:
        text = pattern.sub(instead, text)
    for pattern, instead in _COMPUTED if computed else ():
        text = pattern.sub(instead, text)
    return text


def _give_logs(folder: Path) -> None:
    """A run of three steps that was killed after the second and resumed from the first, and a log of another kind."""
    (folder / "train_log.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 0.5}\n')
    logs = folder / "rldk_logs"
    logs.mkdir()
    path = log_path(logs, _RUN_ID)
    nan = float("nan")
    lines = [
        _line(1, 0, "train", 1, {"loss": 1.0, "reward_mean": 0.25}),
        _line(1, 1, "train", 2, {"loss": 2.0, "reward_mean": 0.375}),
        _line(2, 0, "train", 2, {"loss": 0.5, "reward_mean": 0.5}),
        _line(2, 1, "train", 3, {"loss": nan, "reward_mean": 0.5}),
        _line(2, 2, "eval", 3, {"reward_mean": 0.75}),
        _line(2, 3, "final", 3, {"train_runtime": 1.0}),
    ]
    path.write_bytes(b"".join(lines))
    attempts = [
        Attempt(attempt=1, started="2026-01-31T23:59:59.000000Z"),
        Attempt(attempt=2, started="2026-01-31T23:59:59.300000Z", resumed_from=1, outcome="completed"),
    ]
    write_manifest(run_log(path), Manifest(run_id=_RUN_ID, framework="trl", algorithm="grpo", attempts=attempts))


def _line(attempt: int, seq: int, phase: str, step: int, metrics: dict[str, float | int | None]) -> bytes:
    tenth = 3 * (attempt - 1) + seq + 1
    return encode(
        Event(
            step=step,
            wall_time=tenth / 10,
            timestamp=f"2026-01-31T23:59:59.{tenth}00000Z",
            seq=seq,
            metrics=metrics,
            rng={"seed": 0},
            data_slice={"eval_set": "math"} if phase == "eval" else {"batch_size": 16},
            model_info={
                "run_id": _RUN_ID,
                "model_name": "tiny",
                "phase": phase,
                "schema": 1,
                "rank": 0,
                "world_size": 1,
                "attempt": attempt,
                **({"resumed_from": 1} if attempt > 1 else {}),
            },
            notes=[],
        )
    )


def _training() -> dict[str, Any]:
    """The names that examples leave to their reader: a model, a reward, arguments and a dataset."""
    import torch
    from datasets import Dataset
    from trl import GRPOConfig

    from rldk.integrations.trl.demo import PROMPTS, tiny_model, tiny_tokenizer, vowel_reward

    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained("tiny_model")
    tiny_model(tokenizer).save_pretrained("tiny_model")
    args = GRPOConfig(
        output_dir="checkpoints",
        max_steps=4,
        logging_steps=1,
        save_steps=2,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=6,
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    dataset = Dataset.from_dict({"prompt": list(PROMPTS) * 4})
    return {"model": "tiny_model", "reward": vowel_reward, "args": args, "dataset": dataset}
