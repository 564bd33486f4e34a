"""Find the runs in a folder that is served, again and again, and give each an id that is no path."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from rldk.dashboard.catalogue import Catalogue, Found
from rldk.ingest.account import PassedOver
from rldk.io.codec import encode
from rldk.io.segments import Log
from rldk.io.writer import open_writer
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from pathlib import Path

LINKED = "a symbolic link is not followed by the server"
UNKNOWN = "expected a log of training metrics in a format that is known, found none of them"


def write_foreign(path: Path) -> None:
    """Write a log as another tool would."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(3)))


def looked(root: Path) -> Catalogue:
    """What is found at a path."""
    catalogue = Catalogue(root)
    catalogue.look()
    return catalogue


def facts(found: Found) -> tuple[Any, ...]:
    """What is known of a run without reading its events."""
    files = [path.name for path in found.files()]
    return found.name, found.path, found.unit.adapter.name, found.axis, found.ranks, files


def test_runs_of_rldk_and_of_others(folder: Path) -> None:
    """A run of several ranks is one, a foreign log is named by its file, and what is no log is passed over."""
    for rank in (0, 1):
        writer = open_writer(folder / "own", run_id="r", rank=rank, world_size=2)
        writer.write(make_event(0))
        writer.close()
    write_foreign(folder / "others" / "log.jsonl")
    (folder / "notes.txt").write_text("bought milk\n")

    catalogue = looked(folder)

    assert [facts(found) for found in catalogue.runs.values()] == [
        ("log", "others/log.jsonl", "custom_jsonl", "step", [0], ["log.jsonl"]),
        (
            "r",
            "own/r_events.jsonl",
            "rldk_events",
            "step of the trainer",
            [0, 1],
            ["r_events.jsonl", "r_events.rank1.jsonl"],
        ),
    ]
    assert catalogue.passed_over == [PassedOver("notes.txt", UNKNOWN)]


def test_a_run_of_rldk_and_a_foreign_one(folder: Path) -> None:
    """RLDK's own has its logs, a manifest and a writer that may hold it; a foreign one has nothing of that."""
    writer = open_writer(folder, run_id="r")
    writer.write(make_event(0))
    write_foreign(folder / "others" / "log.jsonl")
    foreign, own = looked(folder).runs.values()
    held = own.is_held
    writer.close()

    log = Log(folder / "r_events.jsonl", "r", 0)
    assert (own.logs, own.lowest, held, own.is_held) == ({0: log}, log, True, False)
    assert own.manifest is not None
    assert own.manifest.run_id == "r"
    assert (foreign.logs, foreign.lowest, foreign.manifest, foreign.is_held) == ({}, None, None, False)


def test_looking_again(folder: Path) -> None:
    """A run that is new or gone makes a difference; one that grows behind the bytes that tell what it is does not."""
    catalogue = Catalogue(folder)
    found = [catalogue.look()]
    log = write_attempt(folder, map(make_event, range(500)))
    found += [catalogue.look(), catalogue.look()]
    with log.open("ab") as file:
        file.write(encode(make_event(500)))
    found += [catalogue.look()]
    log.unlink()
    found += [catalogue.look()]

    assert found == [False, True, False, False, True]
    assert catalogue.runs == {}


def test_an_id_is_of_the_place(folder: Path) -> None:
    """It has twelve digits, stays when segments are sealed, and equal names in two folders have two of them."""
    writer = open_writer(folder / "a", run_id="r", rotation="1 KB")
    writer.write(make_event(0))
    before = list(looked(folder).runs)
    for step in range(1, 30):
        writer.write(make_event(step))
    writer.close()
    write_attempt(folder / "b", [make_event(0)])

    after = looked(folder).runs

    assert {found.path: found.id for found in after.values()}.keys() == {"a/r_events.jsonl", "b/r_events.jsonl"}
    assert len(after["".join(before)].files()) > 2
    assert [len(run_id) for run_id in after] == [12, 12]
    assert [run_id for run_id in after if not set(run_id) <= set("0123456789abcdef")] == []


def test_an_id_is_of_all_ranks(folder: Path) -> None:
    """It stays when the log of a lower rank appears, by which the run is then known."""
    found = []
    for rank in (1, 0):
        writer = open_writer(folder, run_id="r", rank=rank, world_size=2)
        writer.write(make_event(0))
        writer.close()
        found += looked(folder).runs.values()

    assert [each.path for each in found] == ["r_events.rank1.jsonl", "r_events.jsonl"]
    assert found[0].id == found[1].id


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    """A link to a log or to a folder that lies elsewhere shows nothing; of a file it is said."""
    elsewhere = write_attempt(tmp_path / "elsewhere", [make_event(0)])
    write_foreign(tmp_path / "elsewhere" / "log.jsonl")
    (folder / "linked_events.jsonl").symlink_to(elsewhere)
    (folder / "linked.jsonl").symlink_to(tmp_path / "elsewhere" / "log.jsonl")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")

    catalogue = looked(folder)

    assert catalogue.runs == {}
    assert {each.path: each.why for each in catalogue.passed_over} == {
        "linked.jsonl": LINKED,
        "linked_events.jsonl": LINKED,
    }


def test_a_root_that_is_a_link(folder: Path, tmp_path: Path) -> None:
    """The link that a user names is followed."""
    write_attempt(folder, [make_event(0)])
    (tmp_path / "link").symlink_to(folder)

    (found,) = looked(tmp_path / "link").runs.values()
    (same,) = looked(folder).runs.values()

    assert (found.id, facts(found), found.logs) == (same.id, facts(same), same.logs)


def test_a_single_file(folder: Path) -> None:
    """A log alone is a run, with the id that it has in its folder; a file that is none is passed over."""
    log = write_attempt(folder, [make_event(0)])
    write_foreign(folder / "other.jsonl")
    notes = folder / "notes.txt"
    notes.write_text("bought milk\n")

    alone, none = looked(log), looked(notes)

    assert [(found.name, found.path) for found in alone.runs.values()] == [("r", "r_events.jsonl")]
    assert alone.runs.keys() < looked(folder).runs.keys()
    assert (none.runs, none.passed_over) == ({}, [PassedOver("notes.txt", UNKNOWN)])


def test_hidden_folders_are_not_looked_into(folder: Path) -> None:
    """What appears in a folder whose name begins with a dot is nothing new."""
    catalogue = Catalogue(folder)
    catalogue.look()
    write_attempt(folder / ".trash", [make_event(0)])

    assert catalogue.look() is False
    assert looked(folder).runs == {}


def test_when_it_was_last_written(folder: Path) -> None:
    """The newest of its files counts, the manifest does not."""
    log = write_attempt(folder, [make_event(0)])
    os.utime(log, (1000.0, 1000.0))
    (found,) = looked(folder).runs.values()

    assert found.updated() == 1000.0
