"""What a user may name: files, folders, patterns, lists and addresses; and which runs are found there."""

from __future__ import annotations

import errno
import gzip
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rldk.errors import MissingExtraError, UnknownFormatError
from rldk.ingest import sources
from rldk.ingest.options import Options
from rldk.ingest.sources import find_units, local, unit_files
from rldk.io.codec import encode
from rldk.io.compression import compress
from rldk.io.manifest import Manifest
from rldk.io.repair import salvage
from rldk.io.segments import derived_path, lock_path, run_log, sealed_path
from rldk.report.files import write_files
from tests.runs import make_event, write_attempt, write_manifest
from tests.samples import EXAMPLE, an_event, write_log

if TYPE_CHECKING:
    from rldk.ingest.account import PassedOver
    from rldk.ingest.sources import Source, Unit
    from tests.ingest.conftest import WriteLog

STEP = {"step": 1, "loss": 0.5}


def found(source: Source, **options: Any) -> tuple[list[Unit], list[PassedOver]]:
    """The runs in a source, and what was passed over."""
    with local(source) as places:
        return find_units(places, Options(**options))


def names(source: Source, folder: Path, **options: Any) -> list[str]:
    """The runs in a source by their paths below a folder."""
    units, _ = found(source, **options)
    return [unit.path.relative_to(folder).as_posix() for unit in units]


def passed(source: Source, **options: Any) -> list[tuple[str, str]]:
    """The files of a source that are not read, each with the reason."""
    _, passed_over = found(source, **options)
    return [(Path(each.path).name, each.why) for each in passed_over]


class TestNaming:
    """How sources are named."""

    def test_a_file_is_named_by_a_text_or_a_path(self, write: WriteLog) -> None:
        """It is shown as the user wrote it, and says what it was recognised by."""
        log = write("mine.jsonl", STEP)
        (unit,), _ = found(log)

        assert found(str(log))[0][0].path == unit.path == log
        assert (unit.shown, unit.adapter.name, unit.log) == (str(log), "custom_jsonl", None)
        assert unit.why == "JSON lines with a step, 'step'"

    def test_a_path_may_begin_in_the_home_folder(self, write: WriteLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in a shell, and shown as it was written."""
        log = write("mine.jsonl", STEP)
        monkeypatch.setenv("HOME", str(log.parent))
        (unit,), _ = found("~/mine.jsonl")

        assert (unit.path, unit.shown) == (log, "~/mine.jsonl")

    def test_several_are_named_by_anything_that_can_be_gone_through(self, write: WriteLog, tmp_path: Path) -> None:
        """A list, a set, a generator; what is named twice is read once, also by another way to it."""
        one, two = write("one.jsonl", STEP), write("two.jsonl", STEP)
        (tmp_path / "link.jsonl").symlink_to(one)
        sources = [one, str(two), one, tmp_path / "." / "one.jsonl", tmp_path / "link.jsonl"]

        for source in (sources, tuple(sources), (each for each in sources), dict.fromkeys(sources)):
            assert names(source, tmp_path) == ["one.jsonl", "two.jsonl"]
        assert sorted(names({one, two}, tmp_path)) == ["one.jsonl", "two.jsonl"]

    def test_a_pattern_names_what_fits(self, write: WriteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sorted, absolute or not, over folders too; a file that is called like a pattern is meant itself."""
        for name in ("runs/b/m.jsonl", "runs/a/m.jsonl", "runs/a/deep/er/m.jsonl", "odd[1].jsonl"):
            write(name, STEP)
        monkeypatch.chdir(tmp_path)

        assert names(f"{tmp_path}/runs/*/m.jsonl", tmp_path) == ["runs/a/m.jsonl", "runs/b/m.jsonl"]
        assert names("runs/**/m.jsonl", Path()) == ["runs/a/deep/er/m.jsonl", "runs/a/m.jsonl", "runs/b/m.jsonl"]
        assert names("runs/[ab]", Path()) == ["runs/a/m.jsonl", "runs/a/deep/er/m.jsonl", "runs/b/m.jsonl"]
        assert names("odd[1].jsonl", Path()) == ["odd[1].jsonl"]

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("nope.jsonl", "[Errno 2] No such file or directory: 'nope.jsonl'"),
            ("nope/*.jsonl", "[Errno 2] No file or folder fits the pattern: 'nope/*.jsonl'"),
            ("nope_events.jsonl", "[Errno 2] No such file or directory: 'nope_events.jsonl'"),
            (["nope"], "[Errno 2] No such file or directory: 'nope'"),
            ("", "[Errno 2] No such file or directory: ''"),
            ("\0", "[Errno 2] No such file or directory: '\\x00'"),
        ],
    )
    def test_what_is_not_there_is_said(self, source: Source, message: str) -> None:
        """With the name as it was given."""
        with pytest.raises(FileNotFoundError) as caught:
            found(source)

        assert str(caught.value) == message

    @pytest.mark.parametrize("source", [3, None, b"mine.jsonl"])
    def test_what_names_nothing_is_a_type_error(self, source: Any) -> None:
        """The message says what may be given."""
        with pytest.raises(TypeError, match=r"^source: expected a path, a pattern, an address or a list of these, fou"):
            found(source)

    def test_an_empty_list_is_refused(self) -> None:
        """Nobody asks for nothing on purpose."""
        with pytest.raises(ValueError, match=r"^source: expected a file, .* or an address, found an empty list$"):
            found([])


class TestFiles:
    """Files that are named."""

    def test_one_that_is_no_log_is_refused(self, write: WriteLog) -> None:
        """With everybody's reasons, as it is one file."""
        with pytest.raises(UnknownFormatError, match="custom_jsonl: the first line is no JSON object"):
            found(write("notes.txt", b"hello\n"))

    @pytest.mark.parametrize("hint", [None, "custom_jsonl"])
    def test_an_empty_one_is_refused(self, write: WriteLog, hint: str | None) -> None:
        """Whoever is to read it."""
        log = write("mine.jsonl")

        with pytest.raises(UnknownFormatError) as caught:
            found(log, adapter_hint=hint)

        expected = "expected a log, found an empty file: nothing was written to it, or it was not copied whole"
        assert str(caught.value) == f"{log}: {expected}"

    def test_a_hint_chooses_the_adapter(self, write: WriteLog) -> None:
        """Even where the adapter would not recognise the file, and against a better one."""
        own = write("any.jsonl", EXAMPLE + b"\n")

        assert [unit.adapter.name for unit in found(own)[0]] == ["rldk_events"]
        assert [unit.adapter.name for unit in found(own, adapter_hint="custom_jsonl")[0]] == ["custom_jsonl"]
        assert found(write("x.txt", b"x\n"), adapter_hint="custom_jsonl")[0][0].why == "chosen by name"

    def test_a_field_map_helps_to_recognise(self, write: WriteLog) -> None:
        """It says where the step is."""
        log = write("mine.jsonl", {"trainer": {"i": 1}})

        assert found(log, field_map={"step": "trainer.i"})[0][0].adapter.name == "custom_jsonl"
        with pytest.raises(UnknownFormatError):
            found(log)

    def test_a_pipe_is_refused(self, tmp_path: Path) -> None:
        """What is read once is gone, and a source is read twice."""
        os.mkfifo(tmp_path / "pipe")

        with pytest.raises(UnknownFormatError) as caught:
            found(tmp_path / "pipe")

        assert caught.value.reason == (
            "expected a file or a folder, found a pipe, a device or a socket; "
            "sources are read twice, so save it to a file first"
        )

    def test_a_log_whose_segments_are_all_sealed_is_there(self, tmp_path: Path) -> None:
        """Its live file need not be, or may be empty."""
        live = tmp_path / "r1_events.jsonl"
        write_log(sealed_path(run_log(write_log(live, [])), 1), [an_event(1)])

        assert names(live, tmp_path) == ["r1_events.jsonl"]
        live.unlink()
        assert names(live, tmp_path) == names(tmp_path, tmp_path) == ["r1_events.jsonl"]


class TestFolders:
    """Folders are searched."""

    def test_all_runs_below_it_are_found(self, write: WriteLog, tmp_path: Path) -> None:
        """Sorted; what is no log is named with the reason, what is surely none or hidden is not even looked at."""
        for name in ("b.jsonl", "a/m.jsonl", "a/deep/er/m.jsonl", ".hidden.jsonl", ".git/x.jsonl", "x.png", "X.PNG"):
            write(name, STEP)
        write("notes.txt", b"hello\n")
        write("empty.jsonl")
        (tmp_path / "link.jsonl").symlink_to("nowhere")
        os.mkfifo(tmp_path / "pipe")

        assert names(tmp_path, tmp_path) == ["b.jsonl", "a/m.jsonl", "a/deep/er/m.jsonl"]
        assert passed(tmp_path) == [
            (
                "empty.jsonl",
                "expected a log, found an empty file: nothing was written to it, or it was not copied whole",
            ),
            ("link.jsonl", "a link that leads nowhere"),
            ("notes.txt", "expected a log of training metrics in a format that is known, found none of them"),
            ("pipe", "expected a file or a folder, found a pipe, a device or a socket"),
        ]

    def test_runs_are_shown_as_the_folder_was_named(self, write: WriteLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Relative when it was."""
        monkeypatch.chdir(write("runs/a/m.jsonl", STEP).parents[2])

        assert [unit.shown for unit in found("runs")[0]] == ["runs/a/m.jsonl"]

    def test_of_a_hint_only_what_it_recognises(self, write: WriteLog, tmp_path: Path) -> None:
        """The rest says why not."""
        write("own.jsonl", EXAMPLE + b"\n")
        write("other.jsonl", STEP)

        assert names(tmp_path, tmp_path, adapter_hint="rldk_events") == ["own.jsonl"]
        assert passed(tmp_path, adapter_hint="rldk_events") == [("other.jsonl", "the first line is no RLDK event")]

    def test_one_without_logs_is_refused(self, tmp_path: Path, write: WriteLog) -> None:
        """With what is in it, at most twenty files of that."""
        for number in range(22):
            write(f"notes{number:02}.txt", b"hello\n")

        with pytest.raises(UnknownFormatError) as caught:
            found(tmp_path)

        head, *listed, last = str(caught.value).splitlines()
        assert head == f"{tmp_path}: expected a folder with logs of training, found none in it:"
        assert len(listed) == 20
        assert last == "  ...: and 2 more"
        (tmp_path / "none").mkdir()
        with pytest.raises(UnknownFormatError, match=r"found none in it$"):
            found(tmp_path / "none")

    def test_one_may_be_named_with_a_file_in_it(self, write: WriteLog, tmp_path: Path) -> None:
        """The file is read once."""
        log = write("mine.jsonl", STEP)

        assert names([log, tmp_path], tmp_path) == names([tmp_path, log], tmp_path) == ["mine.jsonl"]

    def test_one_that_cannot_be_read_is_an_error(
        self, write: WriteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing in it could be accounted for."""
        write("a/m.jsonl", STEP)
        scandir = os.scandir

        def refuse(path: Any) -> Any:
            if Path(path).name == "a":
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)

        with pytest.raises(PermissionError, match=f"Permission denied: '{tmp_path}/a'"):
            found(tmp_path)


class TestOwnLogs:
    """RLDK's own logs, with all that belongs to them."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A run of two ranks, rotated and compressed, with derived files, a lock and a torn tail."""
        live = write_attempt(tmp_path, [make_event(step) for step in range(3)])
        log = run_log(live)
        write_log(sealed_path(log, 1), [make_event(0)])
        compress(sealed_path(log, 1), "zst")
        write_files(log)
        (tmp_path / "r_events.rank1.jsonl").write_bytes(live.read_bytes())
        lock_path(tmp_path, "r").touch()
        (tmp_path / "r_events.jsonl.1.torn").write_bytes(b"{")
        return tmp_path

    def test_a_folder_has_one_run(self, folder: Path) -> None:
        """The lowest rank stands for it; derived files are none; segments belong together."""
        assert names(folder, folder) == ["r_events.jsonl"]
        assert passed(folder) == [
            ("r_events.rank1.jsonl", "rank 1: the lowest rank stands for the run; the whole history has every rank")
        ]

    def test_a_salvaged_copy_is_no_further_run(self, folder: Path) -> None:
        """It has the events of the log beside it; where that is not, or when it is named, it is read."""
        log = folder / "r_events.jsonl"
        log.write_bytes(b"damaged\n" + log.read_bytes())
        done = salvage(log)

        assert names(folder, folder) == ["r_events.jsonl"]
        assert names(done.out, folder) == ["r_events.salvaged.jsonl"]
        assert Path(done.unreadable or "").exists()
        (folder / "mine").mkdir()
        Path(done.out).rename(folder / "mine/r_events.salvaged.jsonl")
        assert names(folder / "mine", folder) == ["mine/r_events.salvaged.jsonl"]

    def test_the_whole_history_has_every_rank(self, folder: Path) -> None:
        """Each is a source of its own."""
        assert names(folder, folder, history="all") == ["r_events.jsonl", "r_events.rank1.jsonl"]

    def test_a_rank_that_is_named_is_read(self, folder: Path) -> None:
        """When no lower one is."""
        assert names(folder / "r_events.rank1.jsonl", folder) == ["r_events.rank1.jsonl"]

    def test_all_that_a_shell_names_is_one_run(self, folder: Path) -> None:
        """`folder/*`: segments are read with their log, and what RLDK made of it is not read."""
        every = sorted(folder.iterdir())

        assert names(every, folder) == names(f"{folder}/*", folder) == ["r_events.jsonl"]
        beside = "RLDK wrote it beside a log; it is the log that is read"
        assert passed(every) == [
            *((name, beside) for name in ("r.lock",)),
            *((name, beside) for name in ("r_alerts.json",)),
            ("r_events.jsonl.1.torn", beside),
            ("r_final_report.json", beside),
            ("r_manifest.json", beside),
            ("r_metrics.csv", beside),
            ("r_metrics.json", beside),
            ("r_events.000001.jsonl.zst", "a segment of a log that is read whole"),
            ("r_events.rank1.jsonl", "rank 1: the lowest rank stands for the run; the whole history has every rank"),
        ]

    def test_a_derived_file_alone_is_refused(self, folder: Path) -> None:
        """The events are in the log."""
        with pytest.raises(UnknownFormatError) as caught:
            found(folder / "r_metrics.csv")

        assert str(caught.value) == f"{folder}/r_metrics.csv: RLDK wrote it beside a log; it is the log that is read"

    def test_a_trainers_own_record_beside_a_log_is_passed_over(self, tmp_path: Path, write: WriteLog) -> None:
        """In a folder that is searched; one that is named is read."""
        live = write_attempt(tmp_path / "logs", [make_event(1)])
        state = write("out/checkpoint-1/state.jsonl", STEP)
        other = write("elsewhere/state.jsonl", STEP)
        write_manifest(run_log(live), Manifest("r", trainer_output_dir=str(tmp_path / "out")))

        assert names(tmp_path, tmp_path) == ["elsewhere/state.jsonl", "logs/r_events.jsonl"]
        assert passed(tmp_path) == [("state.jsonl", "the trainer's own record of run r, which has an RLDK log")]
        assert names([live, state, other], tmp_path) == [
            *("logs/r_events.jsonl", "out/checkpoint-1/state.jsonl", "elsewhere/state.jsonl")
        ]

    def test_the_files_of_a_run_are_all_it_is_read_from(self, folder: Path, write: WriteLog) -> None:
        """All segments, and not what is derived from them."""
        (own,), _ = found(folder)
        (other,), _ = found(write("mine/m.jsonl", STEP))

        assert [path.name for path in unit_files(own)] == ["r_events.000001.jsonl.zst", "r_events.jsonl"]
        assert unit_files(other) == [other.path]
        assert unit_files(other._replace(path=other.path.parent)) == [other.path]
        assert derived_path(run_log(folder), "metrics.csv").exists()


fsspec = pytest.importorskip("fsspec")


class TestAddresses:
    """What is elsewhere is fetched first."""

    @pytest.fixture
    def store(self) -> Any:
        """A store in memory, empty."""
        store = fsspec.filesystem("memory")
        store.rm("/", recursive=True) if store.ls("/") else None
        return store

    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            ("memory://bucket/a/metrics.jsonl", ["memory://bucket/a/metrics.jsonl"]),
            ("memory://bucket", ["memory://bucket/a/metrics.jsonl", "memory://bucket/b/metrics.jsonl"]),
            ("memory://bucket/", ["memory://bucket/a/metrics.jsonl", "memory://bucket/b/metrics.jsonl"]),
            (
                "memory://bucket/*/metrics.jsonl",
                ["memory:///bucket/a/metrics.jsonl", "memory:///bucket/b/metrics.jsonl"],
            ),
            (
                ["memory://bucket/a", "memory://bucket"],
                ["memory://bucket/a/metrics.jsonl", "memory://bucket/b/metrics.jsonl"],
            ),
        ],
    )
    def test_files_folders_and_patterns_are_fetched(self, store: Any, address: Source, shown: list[str]) -> None:
        """Each under its whole path, so that files of one name are kept apart; and shown by its address."""
        for name in "ab":
            store.pipe(f"/bucket/{name}/metrics.jsonl", b'{"step": 1}\n')
        with local(address) as places:
            units, _ = find_units(places, Options())
            folders = [unit.path.parent.name for unit in units]
            assert all(unit.path.exists() for unit in units)

        assert [unit.shown for unit in units] == shown
        assert folders == [Path(each).parent.name for each in shown]
        assert not any(unit.path.exists() for unit in units)

    @pytest.mark.parametrize(
        ("address", "names"),
        [
            ("memory://[1] b/c[2].jsonl", ["c[2].jsonl"]),
            ("memory://[1] b", ["c[2].jsonl", "d?.jsonl"]),
            ("memory://[1] b/d?.jsonl", ["d?.jsonl"]),
            ("memory://*b/?[[]*.jsonl", ["c[2].jsonl"]),
        ],
    )
    def test_brackets_may_be_part_of_a_name(self, store: Any, address: str, names: list[str]) -> None:
        """As on this machine, what is there goes before what a pattern would mean."""
        for name in ("[1] b/c[2].jsonl", "[1] b/d?.jsonl", "1/c2.jsonl"):
            store.pipe(f"/{name}", b'{"step": 1}\n')
        with local(address) as places:
            units, _ = find_units(places, Options())

        assert [unit.path.name for unit in units] == names

    def test_what_is_no_log_is_called_by_its_address(self, store: Any) -> None:
        """Not by that of a copy which is gone."""
        store.pipe("/bucket/empty.jsonl", b"")

        for address in ("memory://bucket/empty.jsonl", "memory://bucket"):
            with pytest.raises(UnknownFormatError) as caught, local(address) as places:
                find_units(places, Options())
            assert caught.value.path == Path(address)

    def test_of_a_log_all_segments_are_fetched(self, store: Any, tmp_path: Path) -> None:
        """By the address of its live file."""
        for number, name in enumerate(
            ["r_events.000001.jsonl", "r_events.jsonl", "r_manifest.json", "r2_events.jsonl"]
        ):
            store.pipe(f"/bucket/{name}", encode(an_event(number)))
        with local("memory://bucket/r_events.jsonl") as places:
            ((path, _),) = places
            assert sorted(each.name for each in path.parent.iterdir()) == [
                *("r_events.000001.jsonl", "r_events.jsonl", "r_manifest.json")
            ]

    def test_where_a_store_cannot_list_only_the_file_is_fetched(
        self, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As with web servers that show no folders."""
        store.pipe("/bucket/r_events.jsonl", encode(an_event(1)))

        def refuse(*_: Any, **__: Any) -> Any:
            raise NotImplementedError

        monkeypatch.setattr(type(store), "ls", refuse)
        with local("memory://bucket/r_events.jsonl") as places:
            ((path, _),) = places
            assert [each.name for each in path.parent.iterdir()] == ["r_events.jsonl"]

    def test_what_is_on_this_machine_stays_there(self, write: WriteLog, tmp_path: Path) -> None:
        """`file://` is a path, a pattern too."""
        log = write("mine.jsonl", STEP)

        assert names(f"file://{log}", tmp_path) == names(f"file://{tmp_path}/*.jsonl", tmp_path) == ["mine.jsonl"]

    def test_a_compressed_file_is_fetched_as_it_is(self, store: Any) -> None:
        """And read by the ending of its name."""
        store.pipe("/a/m.jsonl.gz", gzip.compress(b'{"step": 1}\n'))

        assert [unit.adapter.name for unit in found("memory://a/m.jsonl.gz")[0]] == ["custom_jsonl"]

    def test_no_path_leads_out_of_the_copy(self, store: Any) -> None:
        """Whatever a file is called elsewhere."""
        store.pipe("/a/../../../m.jsonl", b'{"step": 1}\n')
        with local("memory://a/../../../m.jsonl") as places:
            assert all(".." not in path.parts for path, _ in places)

    @pytest.mark.usefixtures("store")
    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("memory://bucket/nope", "[Errno 2] No such file or folder: 'memory://bucket/nope'"),
            ("memory://bucket/*.jsonl", "[Errno 2] No such file or folder: 'memory://bucket/*.jsonl'"),
            ("nope://bucket", "[Errno 93] Protocol not known: nope: 'nope://bucket'"),
        ],
    )
    def test_what_cannot_be_reached_is_said(self, address: str, message: str) -> None:
        """With the address."""
        with pytest.raises(OSError, match="bucket") as caught:
            found(address)

        assert str(caught.value) == message

    def test_without_fsspec_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And paths need none."""
        monkeypatch.setitem(sys.modules, "fsspec", None)

        with pytest.raises(MissingExtraError, match=r"^fsspec is not installed; install it with: pip install 'rldk"):
            found("memory://bucket")


def test_the_endings_that_are_never_opened_are_of_no_log() -> None:
    """No adapter reads a file that is called so."""
    never = [".png", ".PT", ".safetensors", ".yaml", ".py", ".npz", ".lock", ".torn", ".jpeg", ".pth"]
    logs = ["m.jsonl", "m.json", "m.csv", "m.log", "m.txt", "run.wandb", "m.out", "m.gz", "events.out.tfevents.1.h.0"]

    assert all(sources._OTHER.search(f"x{ending}") for ending in never)
    assert not any(sources._OTHER.search(name) for name in logs)
