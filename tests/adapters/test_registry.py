"""Which adapter reads a file, and how other packages add theirs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rldk.adapters.base import Adapter, Certainty, Claim, FormatAdapter
from rldk.adapters.custom_jsonl import CustomJSONLAdapter
from rldk.adapters.lines import read_head
from rldk.adapters.registry import GROUP, NAMES, detect, load, names, no_log
from rldk.adapters.rldk_events import RLDKEventsAdapter
from rldk.errors import RLDKError, UnknownFormatError
from tests.formats import FORMATS
from tests.samples import EXAMPLE

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.registry import Found
    from tests.formats import Format

PICKLE = "a pickle of Python, which RLDK never opens: to read one is to run what is in it"

FOREIGN = """
from rldk.adapters.base import Certainty, Claim, no
from rldk.io.event_schema import Event

class Adapter:
    name = "tabs"

    def handles(self, head, path):
        return Claim(Certainty.SURE, "it begins with a tab") if head.startswith(b"\\t") else no("no tab")

    def events(self, path, mode="strict"):
        for step, line in enumerate(path.read_text().splitlines()):
            info = {"run_id": path.stem}
            yield Event(step=step, wall_time=None, metrics={"loss": float(line)}, rng={}, data_slice={},
                        model_info=info, notes=[])

class NoAdapter:
    pass

def make():
    pass
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Install a package with these entry points into a folder, and look for packages there too."""
    (folder / "foreign_format.py").write_text(FOREIGN)
    info = folder / "foreign_format-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-format\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_says_who_it_is(name: str) -> None:
    """It is called as its module is, and says in a sentence what it reads."""
    adapter = load(name, {"step": "i"})

    assert isinstance(adapter, FormatAdapter)
    assert (adapter.name, type(adapter).__name__) == (name, NAMES[name])
    assert adapter.reads
    assert adapter.field_map == {"step": "i"}


def test_an_unknown_name_is_refused() -> None:
    """The message shows all there are."""
    with pytest.raises(ValueError, match=rf"^adapter: expected one of {', '.join(NAMES)}, found 'nope'$"):
        load("nope")


def test_naming_the_adapters_imports_none_of_them() -> None:
    """Those that are not asked for cost nothing."""
    code = (
        "import sys, rldk.adapters.registry as r; print(*(n for n in r.names() if f'rldk.adapters.{n}' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"


def test_packages_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for every file of a folder: that took longer than all else."""
    calls: list[str] = []
    monkeypatch.setattr("rldk.adapters.registry.entry_points", lambda group: calls.append(group) or [])
    monkeypatch.syspath_prepend("/a/path/that/is/new")

    assert names() == names() == [*NAMES]
    assert calls == [GROUP]


@pytest.mark.parametrize("first", ["cut", "torn", "banner"])
@pytest.mark.parametrize(
    "form", [form for form in FORMATS if form.parts[0].startswith(b"{") and form.lined], ids=lambda form: form.adapter
)
def test_a_first_line_that_was_damaged_hides_no_format(form: Format, first: str, tmp_path: Path) -> None:
    """It is bad, as it would be elsewhere, and the lines after it are read."""
    line = {"cut": form.parts[0][12:], "torn": form.parts[0][:12] + b"\n", "banner": b"Training on 8 devices\n"}[first]
    path = form.write(tmp_path, line + b"".join(form.parts[1:]))

    adapter = detect(path).adapter
    items = list(adapter.read(path).items)  # type: ignore[attr-defined]
    assert adapter.name == form.adapter
    assert [type(item).__name__ for item in items] == ["Bad", "Parsed", "Parsed"]


@pytest.mark.usefixtures("two_formats")
class TestDetection:
    """What is in a file decides who reads it."""

    def detect(self, path: Path, content: bytes, field_map: dict[str, str] | None = None) -> Found:
        """Who reads a file with this in it."""
        path.write_bytes(content)
        return detect(path, field_map)

    def refusal(self, path: Path, content: bytes) -> str:
        """Why nobody does, without the path."""
        with pytest.raises(UnknownFormatError) as caught:
            self.detect(path, content)
        assert caught.value.path == path
        return str(caught.value).removeprefix(f"{path}: ")

    def test_the_most_certain_adapter_reads_it(self, tmp_path: Path) -> None:
        """RLDK's own log could be read as any JSON lines, and is not."""
        own = self.detect(tmp_path / "any.jsonl", EXAMPLE + b"\n")
        other = self.detect(tmp_path / "other.jsonl", b'{"i": 1}\n', {"step": "i"})

        assert isinstance(own.adapter, RLDKEventsAdapter)
        assert own.claim == Claim(Certainty.SURE, "the first line is an RLDK event")
        assert isinstance(other.adapter, CustomJSONLAdapter)
        assert other.adapter.field_map == {"step": "i"}

    def test_a_compressed_file_is_recognised(self, tmp_path: Path) -> None:
        """By what is in it, decompressed."""
        assert self.detect(tmp_path / "x.gz", gzip.compress(b'{"step": 1}\n')).adapter.name == "custom_jsonl"

    def test_when_nobody_reads_it_all_say_why(self, tmp_path: Path) -> None:
        """The message lists who was asked."""
        assert self.refusal(tmp_path / "x.txt", b"hello\n") == (
            "expected a log of training metrics in a format that is known, found none of them:\n"
            "  rldk_events: the first line is no RLDK event\n"
            "  custom_jsonl: the first line is no JSON object"
        )

    def test_when_two_are_as_certain_nobody_guesses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message says what each saw, and how to choose."""
        install(tmp_path, monkeypatch, tabs="foreign_format:Adapter", more="foreign_format:Adapter")

        assert self.refusal(tmp_path / "x.txt", b"\t1\n") == (
            "expected one format, found marks of tabs, tabs; choose one: --adapter NAME, adapter_hint in Python:\n"
            "  tabs: it begins with a tab\n"
            "  tabs: it begins with a tab"
        )

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "an empty file: nothing was written to it, or it was not copied whole"),
            (b"\0" * 100, "only NUL bytes: the disk lost what was written, as after a power cut"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a pointer of Git LFS in its place; fetch it: git lfs pull",
            ),
            (b"/annex/objects/SHA256E-s1--a", "a pointer of git-annex in its place; fetch it: git annex get"),
            (
                b"\0\x05\x16\x07\0\x02\0\0Mac OS X",
                "an AppleDouble file, in which macOS keeps what a disk cannot; see beside it",
            ),
            (b"PK\x03\x04abc", "a zip archive; unpack it first"),
            (gzip.compress(b"{}"), "gzip data; give the file a name that ends in .gz"),
            (b"\x28\xb5\x2f\xfdabc", "zstd data; give the file a name that ends in .zst"),
            (bz2.compress(b"{}"), "bzip2 data; unpack it first: bunzip2 FILE"),
            (lzma.compress(b"{}"), "xz data; unpack it first: unxz FILE"),
            *((pickle.dumps("log", protocol), PICKLE) for protocol in (4, 5)),
            (b"\x80\x02\x8a\nl\xfc\x9c", PICKLE),
            (b'{\n "cells": [\n', "a notebook; save what its training printed to a file"),
            (b"\x89PNG\r\n", "a picture"),
            (b"PAR1abc", "a Parquet file; what `rldk ingest -o` wrote can be read by pandas and DuckDB"),
            (b"SQLite format 3\0", "a SQLite database"),
            (b"<!DOCTYPE html>", "a web page: was it downloaded without signing in?"),
            (b"<html>", "a web page: was it downloaded without signing in?"),
        ],
    )
    def test_what_is_no_log_is_called_by_its_name(self, tmp_path: Path, content: bytes, reason: str) -> None:
        """Whatever the file is called, and before any adapter is asked."""
        assert self.refusal(tmp_path / "metrics.jsonl", content) == f"expected a log, found {reason}"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32"])
    def test_utf_16_is_explained(self, tmp_path: Path, encoding: str) -> None:
        """With the command that makes UTF-8 of it."""
        mark = {"utf-16-be": "\ufeff", "utf-16-le": "\ufeff"}.get(encoding, "")

        assert self.refusal(tmp_path / "x.jsonl", f'{mark}{{"step": 1}}'.encode(encoding)) == (
            "expected UTF-8, found UTF-16, as PowerShell's `>` writes it; "
            "convert it first: iconv -f UTF-16 -t UTF-8 FILE"
        )

    def test_a_file_that_cannot_be_decompressed_is_refused(self, tmp_path: Path) -> None:
        """The message is that of the compression."""
        assert self.refusal(tmp_path / "x.gz", b"no gzip") == (
            "expected whole gzip data, found damage before byte 7: Error -3 while decompressing data: "
            "incorrect header check"
        )


def test_a_long_first_line_hides_no_format(tmp_path: Path) -> None:
    """As one with lists of all episodes; beyond 1 MiB, or in a document of one line, the head is cut as elsewhere."""
    path = tmp_path / "result.json"
    first = b'{"hist": [%s], "training_iteration": 1, "loss": 0.5}\n' % b", ".join([b"0.125"] * 20_000)
    path.write_bytes(first + b'{"training_iteration": 2, "loss": 0.25}\n')

    adapter = detect(path).adapter
    assert adapter.name == "custom_jsonl"
    assert [(event.step, event.metrics) for event in adapter.events(path)] == [(1, {"loss": 0.5}), (2, {"loss": 0.25})]
    assert read_head(path) == first
    packed = tmp_path / "result.json.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_head(packed) == first
    for content in (
        b'{"a": "' + b"x" * 2**21 + b'"}\n{}\n',
        b'{"a": "' + b"x" * 2**17 + b'"}\n',
        b'{"a": "' + b"x" * 2**17 + b'"}',
    ):
        path.write_bytes(content)
        assert len(read_head(path)) == 65_536


def test_a_head_is_the_beginning_decompressed(tmp_path: Path) -> None:
    """64 KiB at most; of a folder nothing; of a damaged file what there is."""
    plain, packed = tmp_path / "a.txt", tmp_path / "a.txt.gz"
    plain.write_bytes(b"x" * 70_000)
    packed.write_bytes(gzip.compress(b"y" * 70_000)[:-8])

    assert read_head(plain) == b"x" * 65_536
    assert read_head(packed) == b"y" * 65_536
    assert read_head(tmp_path) == b""
    assert no_log(b'{"step": 1}') == ""


@pytest.mark.usefixtures("two_formats")
def test_another_package_adds_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an entry point; RLDK's own names come first and cannot be taken."""
    install(tmp_path, monkeypatch, tabs="foreign_format:Adapter", custom_jsonl="foreign_format:Adapter")
    (tmp_path / "x.txt").write_text("\t0.5\n")
    adapter = load("tabs", {"step": "ignored"})

    assert names() == ["rldk_events", "custom_jsonl", "tabs"]
    assert isinstance(adapter, Adapter)
    assert detect(tmp_path / "x.txt").claim == Claim(Certainty.SURE, "it begins with a tab")
    assert isinstance(load("custom_jsonl"), CustomJSONLAdapter)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere:Adapter", "adapter 'bad': nowhere:Adapter cannot be loaded: No module named 'nowhere'"),
        (
            "foreign_format:Absent",
            "adapter 'bad': foreign_format:Absent cannot be loaded: module 'foreign_format' has no attribute 'Absent'",
        ),
        (
            "foreign_format:NoAdapter",
            "adapter 'bad': expected a class with name, handles and events, found foreign_format:NoAdapter",
        ),
        (
            "foreign_format:make",
            "adapter 'bad': expected a class with name, handles and events, found foreign_format:make",
        ),
    ],
)
def test_a_broken_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    """With what it registered and what is wrong with it, as an error of RLDK's."""
    install(tmp_path, monkeypatch, bad=value)

    with pytest.raises(RLDKError) as caught:
        load("bad")

    assert str(caught.value) == message
