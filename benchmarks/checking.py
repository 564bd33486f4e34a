"""The strict validator against a bare decoder of one fixed Struct, `json.loads`, and itself in two processes."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks.events import NAMES, events, large_log
from rldk import open_writer, validate_jsonl_file
from rldk.ingest.executors import stored
from rldk.ingest.validation import valid_files

ROUNDS = 7
EVENTS = 30_000
LARGE = 500_000_000
PROCESSES = 2


def _struct(name: str, fields: dict[str, object]) -> type[msgspec.Struct]:
    """A Struct of just these fields, all required: the fastest that msgspec can check."""
    names = {f"field_{index}": field for index, field in enumerate(fields)}
    types = list(zip(names, fields.values(), strict=True))
    return msgspec.defstruct(name, types, rename=names, forbid_unknown_fields=True, gc=False)


SEEDS = ("seed", "python_hash_seed", "torch_seed", "numpy_seed", "random_seed")
TEXTS = (
    "run_id",
    "git_sha",
    "model_name",
    "optimizer",
    "scheduler",
    "algorithm",
    "framework",
    "framework_version",
    "phase",
)
FIXED = _struct(
    "Fixed",
    {
        "step": int,
        "wall_time": float,
        "timestamp": str,
        "seq": int,
        "metrics": _struct("Metrics", dict.fromkeys(NAMES, float | None)),
        "rng": _struct("Rng", dict.fromkeys(SEEDS, int | None)),
        "data_slice": _struct("DataSlice", {"batch_size": int, "window": int}),
        "model_info": _struct(
            "ModelInfo",
            dict.fromkeys(TEXTS, str) | dict.fromkeys(("model_size", "schema", "rank", "world_size", "attempt"), int),
        ),
        "notes": list[str],
    },
)


def measure(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Alternate the three over one log that was just written, in the page cache."""
    with_writer = open_writer(folder, run_id="check")
    for event in events(EVENTS):
        with_writer.write(event)
    with_writer.close()
    path = with_writer.path
    size = path.stat().st_size / 1e6
    decode = msgspec.json.Decoder(FIXED).decode

    def validator() -> None:
        report = validate_jsonl_file(path, strict=True)
        assert report.valid
        assert report.lines == EVENTS

    def bare() -> None:
        with path.open("rb") as file:
            for line in file:
                decode(line)

    def stdlib() -> None:
        with path.open("rb") as file:
            for line in file:
                json.loads(line)

    rounds = [[_speed(work, size) for work in (validator, bare, stdlib)] for _ in range(ROUNDS)]
    speed = statistics.median(each[0] for each in rounds)
    to_bare = statistics.median(each[0] / each[1] for each in rounds)
    to_json = statistics.median(each[0] / each[2] for each in rounds)
    yield (
        f"strict validator, {speed:.0f} MB/s, to msgspec decoding one fixed Struct",
        f"{to_bare:.2f} x",
        ">= 0.8 x",
        ">= 1.0 x",
    )
    yield f"strict validator, {speed:.0f} MB/s, to json.loads of each line", f"{to_json:.2f} x", ">= 2.5 x", ">= 4 x"

    yield from _measure_large(folder)


def _measure_large(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """By the clock on the wall, because that is what several processes are for."""
    path, count = large_log(folder, LARGE)

    def serial() -> None:
        report = validate_jsonl_file(path, strict=True)
        assert (report.valid, report.lines) == (True, count)

    def shared() -> None:
        (report,) = valid_files(stored([path]), PROCESSES, strict=True, check_consistency=False, require=()).values()
        assert report.lines == count

    ratio = statistics.median(_seconds(serial) / _seconds(shared) for _ in range(ROUNDS))
    what = f"strict validator on {LARGE / 1e6:.0f} MB with {PROCESSES} processes, to itself with one"
    yield what, f"{ratio:.2f} x", ">= 1.6 x", ""
    for jobs in (1, PROCESSES):
        peak = _peak_memory(path, jobs)
        yield f"memory of the largest process, {jobs} of them", f"{peak / 2**20:.0f} MiB", "< 64 MB", ""
    path.unlink()


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak_memory(path: Path, jobs: int) -> int:
    """The memory in bytes of the largest process of `rldk validate`."""
    code = (
        "import resource, sys\n"
        "from rldk.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    own, others = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "    print(max(own.ru_maxrss, others.ru_maxrss))\n"
    )
    # Through a shell, because a process counts the memory of the one that started it among its own.
    command = ["/bin/sh", "-c", '"$0" "$@" || exit', sys.executable, "-c", code]
    options = ["validate", "--strict", "--jobs", str(jobs), str(path)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)  # noqa: S603
    return int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024)


def _speed(work: Callable[[], None], size: float) -> float:
    began = time.process_time()
    work()
    return size / (time.process_time() - began)
