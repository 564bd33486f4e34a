"""Other people's logs: each is read to the last number, or refused with a message that helps.

What a file holds is counted here once more, by a few lines that know nothing of RLDK's adapters: the numbers under
each key of each record, without what says step and time. Both counts must agree, key by key.
"""

from __future__ import annotations

import ast
import csv
import json
import math
import re
import struct
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from rldk.errors import UnknownFormatError
from rldk.ingest import IngestReport, ingest_runs
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

pytestmark = needs_shared

_PREFIXES: Final = re.compile(r"\A(?:train/|train_|eval/|eval_|test/|val/|validation(?:-[^/]*)?/)")


def bare(key: str) -> str:
    """A key without what says training or evaluation, which an adapter may have taken off."""
    return _PREFIXES.sub("", key)


def numbers(records: Iterable[dict[str, Any]], without: str = "") -> Counter[str]:
    """How many numbers stand under each key, keys that match a pattern left out."""
    found: Counter[str] = Counter()
    for record in records:
        for key, value in record.items():
            number = _number(value)
            if number is not None and not re.fullmatch(without or r"(?!)", key):
                found[bare(key)] += 1
    return found


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def csv_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file whose comments begin with #."""
    return list(csv.DictReader(line for line in path.read_text().splitlines() if not line.startswith("#")))


def log_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a trainer_state.json."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())["log_history"]
    return rows


def console_dicts(path: Path) -> list[dict[str, Any]]:
    """The dicts with a loss that a console shows."""
    shown = re.findall(r"\{'(?:loss|eval_loss|train_runtime)'.*?\}", path.read_text(errors="replace"))
    return [ast.literal_eval(text) for text in shown]


def verl_lines(path: Path) -> list[dict[str, Any]]:
    """The lines `step:N - key:value - ...` of a console."""
    lines = re.findall(r"step:\d+ - (.*)", path.read_text(errors="replace"))
    return [dict(part.rsplit(":", 1) for part in line.strip().split(" - ")) for line in lines]


def ascii_tables(path: Path) -> list[dict[str, Any]]:
    """The tables `| key | value |` between rules of dashes."""
    tables = re.split(r"^-+$", path.read_text(), flags=re.MULTILINE)
    rows = [re.findall(r"^\| (.*?) *\| (.*?) *\|$", table, re.MULTILINE) for table in tables]
    return [dict(table) for table in rows if table]


def tfrecords(path: Path) -> Iterator[bytes]:
    """The records of an event file, checksums passed over."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        yield content[at + 12 : at + 12 + size]
        at += 16 + size


def tags(path: Path) -> list[dict[str, Any]]:
    """The tag of each scalar in an event file: a tag right before a field of four bytes."""
    pattern = re.compile(rb"\x0a([\x01-\x7f])")
    found: list[dict[str, Any]] = []
    for record in tfrecords(path):
        for match in pattern.finditer(record):
            end = match.end() + match[1][0]
            tag, rest = record[match.end() : end], record[end : end + 5]
            if rest[:1] == b"\x15" and len(rest) == 5 and re.fullmatch(rb"[ -~]+", tag):
                found.append({tag.decode(): struct.unpack("<f", rest[1:])[0]})
    return found


def series(path: Path) -> list[dict[str, Any]]:
    """The points of training of a file {metric: {step: value}}."""
    found = json.loads(path.read_text())
    return [{name: value} for name, points in found.items() if not name.startswith("ray/") for value in points.values()]


def wandb_history(path: Path) -> list[dict[str, Any]]:
    """Each key and value of the history in a .wandb file: they stand as text one after the other."""
    content = path.read_bytes()
    records, at = [b""], 7
    while at < len(content):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        _, size, kind = struct.unpack_from("<IHB", content, at)
        records[-1] += content[at + 7 : at + 7 + size]
        records += [b""] if kind in {1, 4} else []
        at += 7 + size
    found: list[dict[str, Any]] = []
    for record in records:
        if re.match(rb"\x08[\x80-\xff]*[\x00-\x7f]\x12", record):
            for match in re.finditer(rb"[\x0a\x12]([\x01-\x7f])([ -~]+?)\x82\x01([\x01-\x7f])", record):
                if len(match[2]) == match[1][0]:
                    value = record[match.end() : match.end() + match[3][0]]
                    found.append({match[2].decode(): value.decode(errors="replace")})
    return found


class Expected(NamedTuple):
    """What a file holds, or why it is refused."""

    adapter: str = ""
    count: Callable[[Path], list[dict[str, Any]]] | None = None
    without: str = ""
    """Keys that say step and time, or are texts that look like numbers."""
    refused: str = ""
    """What the message says."""


_TRL: Final = r"step"
_TINKER: Final = Expected("tinker", json_lines, r"step")
_SWIFT: Final = Expected("ms_swift", json_lines, r"global_step.*")
EXPECTED: Final[dict[str, Expected]] = {
    "trl/*/outputs/checkpoint-250/trainer_state.json": Expected("trl", log_history, _TRL),
    "trl/*/dpo_model/trainer_state.json": Expected("trl", log_history, _TRL),
    "trl/*/dpo.log": Expected("trl", console_dicts),
    "trl/*/runs/*/events.out.tfevents.*": Expected("tensorboard", tags),
    "trl/*/logs/9485900/slurm.out": Expected(refused="no line with metrics among its 1642 lines"),
    "trl/*/grpo_bluebook_30k_success.log": Expected(refused="no line with metrics among its 731 lines"),
    "trl/*/stage1_resume_nohup.log": Expected(refused="torch.OutOfMemoryError: CUDA out of memory"),
    "trl/*/dpo_train.log": Expected(refused="no line with metrics among its 307 lines"),
    "trlx/*/*.txt": Expected(refused="RuntimeError: torch.cat(): expected a non-empty list of Tensors"),
    "simplerl/*/log1.txt": Expected(refused="RuntimeError: CUDA error: invalid device ordinal"),
    "simplerl/*/log2.txt": Expected(refused="AssertionError: failed to get register_center_actor"),
    "verl/*/verl_demo.log": Expected(refused="a console of verl without a line `step:N - key:value`"),
    "verl/*/verl_no_vllm_full_seqlen.log": Expected(refused="RuntimeError: XLA:TPU compile permanent error"),
    "verl/*/grpo.log": Expected(refused="AssertionError: failed to get register_center_actor"),
    "verl/*/nohup.out": Expected(refused="Could not load 'ppo_trainer'"),
    "verl/*/metrics_summary.json": Expected(refused="found none of them"),
    "verl/*/events.out.tfevents.*": Expected("tensorboard", tags),
    "wandb/*/files/output.log": Expected("verl", verl_lines),
    "wandb/*/files/wandb-summary.json": Expected(
        "wandb", lambda path: [json.loads(path.read_text())], r"_step|_runtime|_timestamp|global_step"
    ),
    "broken/*/files/wandb-summary.json": Expected(
        "wandb", lambda path: [json.loads(path.read_text())], r"_step|_runtime|_timestamp|train/global_step"
    ),
    "broken/*/main_ppo.log": Expected(refused="found an empty file"),
    "broken/*/metrics_prompted.json": Expected(refused="iconv -f UTF-16 -t UTF-8"),
    "openrlhf/*/events.out.tfevents.*": Expected("openrlhf", tags),
    "openrlhf/*/run-*.wandb": Expected("wandb", wandb_history, r"_step|_runtime|_timestamp|train/global_step|_wandb.*"),
    "areal/*/loggs.txt": Expected(refused="areal.utils.launcher.JobException"),
    "areal/*/logs_5090_3hour_failure.txt": Expected(refused="areal.utils.launcher.JobException"),
    "nemo-rl/*/metrics.json": Expected("nemo_rl", series),
    "tinker/*/metrics.jsonl": _TINKER,
    "tinker/*/training_metrics.jsonl": _TINKER,
    "dreamer/*/*.jsonl": Expected("dreamer", json_lines, r"step"),
    "llamafactory/*/trainer_log.jsonl": Expected("llamafactory", json_lines, r"current_steps|.*_time"),
    "ms-swift/*.jsonl": _SWIFT,
    "custom-jsonl/*.jsonl": Expected("custom_jsonl", json_lines, r"step"),
    "custom-csv/*.csv": Expected("custom_csv", csv_rows, r"timesteps|wall_time"),
    "sb3/*/events.out.tfevents.*": Expected("tensorboard", tags),
    "sb3/*.monitor.csv": Expected("sb3", csv_rows),
    "baselines/*/progress.csv": Expected("baselines", csv_rows, r"epoch"),
    "baselines/*/log.txt": Expected("baselines", ascii_tables),
}
"""For each real log, by the end of its path, what is expected of it."""

FILES: Final = sorted(path for path in REAL.rglob("*") if path.is_file() and path.name != "MANIFEST.csv")
OUTCOMES: dict[str, str] = {}


def expectation(path: Path) -> Expected:
    """What is expected of a file."""
    name = path.relative_to(REAL).as_posix()
    patterns = {pattern: pattern.replace(".", r"\.").replace("*", ".*") for pattern in EXPECTED}
    (found,) = (EXPECTED[pattern] for pattern, regex in patterns.items() if re.fullmatch(regex, name))
    return found


def counted(path: Path, adapter: str) -> tuple[Counter[str], IngestReport]:
    """How many numbers the adapter found under each key, by the names the source has for them."""
    report = IngestReport()
    table = ingest_runs(path, history="all", report=report)
    assert [run.adapter for run in report.runs] == [adapter]
    (run,) = table.attrs["rldk"]["runs"].values()
    native = {name: source["native"] for name, source in run["metrics"].items()}
    metrics = [name for name in table.columns[9:] if name != "rewound"]
    present = {name: int(table[name].notna().sum()) + report.runs[0].nonfinite.get(name, 0) for name in metrics}
    finite = {name: int((table[name].notna() & table[name].abs().ne(math.inf)).sum()) for name in metrics}
    found: Counter[str] = Counter()
    for name in metrics:
        count = finite[name] + report.runs[0].nonfinite.get(name, 0) if present[name] else 0
        found[bare(native.get(name, name))] += count
    return +found, report


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(REAL).as_posix()[-70:])
def test_a_real_log_is_read_to_the_last_number_or_refused(path: Path) -> None:
    """Each file gives as many numbers under each key as it holds, or is refused with what a person can act on."""
    expected = expectation(path)
    name = path.relative_to(REAL).as_posix()

    if expected.refused:
        with pytest.raises(UnknownFormatError, match=re.escape(expected.refused)) as caught:
            ingest_runs(path)
        OUTCOMES[name] = f"refused: {str(caught.value).splitlines()[0].partition(': ')[2]}"
        return
    assert expected.count
    found, report = counted(path, expected.adapter)
    OUTCOMES[name] = f"{expected.adapter}: {report.events} events, {sum(found.values())} numbers, {report.lines} lines"
    assert found == numbers(expected.count(path), expected.without)


def test_the_outcome_of_every_file_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Every file of the list is there, and a table says what became of each."""
    if len(OUTCOMES) < len(FILES):
        pytest.skip("only some of the files were asked for")
    manifest = (REAL / "MANIFEST.csv").read_text(encoding="utf-8")
    listed = {row["local"] for row in csv.DictReader(manifest.splitlines())}

    table = "".join(f"{name[-64:]:64}  {outcome[:110]}\n" for name, outcome in sorted(OUTCOMES.items()))

    with capsys.disabled():
        sys.stdout.write(f"\n{table}")

    assert listed == set(OUTCOMES)
