"""Reading what W&B keeps of a run, and what it gives back."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rldk.adapters.base import Bad, Certainty, Claim
from rldk.adapters.lines import read_head
from rldk.adapters.registry import detect
from rldk.adapters.trl import TRLAdapter
from rldk.adapters.wandb import WandbAdapter
from rldk.errors import UnknownFormatError
from rldk.ingest import IngestReport, ingest_events
from tests.adapters.items import asides, bads, events, lines, survives
from tests.adapters.wandb_file import HEADER, history, message, run, run_file, summary
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from rldk.adapters.base import Item, Reading

GOLDEN: Final = Path(__file__).resolve().parents[1] / "golden" / "wandb"
NAN: Final = math.nan


def read(path: Path, content: bytes | str, **field_map: str) -> tuple[Reading, list[Item]]:
    """What is read of a file with this content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    reading = WandbAdapter(field_map).read(path)
    return reading, list(reading.items)


def row(step: int, **values: Any) -> dict[str, Any]:
    """A row of a history, with what W&B adds."""
    return {**values, "_step": step, "_runtime": step + 0.5, "_timestamp": 1_790_000_000.0 + step}


@pytest.mark.parametrize(
    ("name", "first", "count", "version"),
    [("run-0.31.0", 1, 24, "0.31.0"), ("resumed-0.31.0", 4, 24, "0.31.0"), ("run-0.12.21", 1, 12, "")],
)
def test_a_file_of_wandb_itself_is_read_whole(name: str, first: int, count: int, version: str) -> None:
    """Old and new versions write a run alike: training, NaN, an evaluation, a table, what only summaries hold."""
    reading = WandbAdapter().read(GOLDEN / f"{name}.wandb")
    items = list(reading.items)

    last = first + 2
    assert [(event.step, event.phase) for event in events(items)] == [
        *((first, "train"), (first + 1, "train"), (last, "train"), (last, "eval"), (last, "train"), (last, "final"))
    ]
    assert [event.run_id for event in events(items)] == ["golden01"] * 6
    trained = [dict(event.metrics) for event in events(items)[:3]]
    losses = [NAN if step == 2 else 0.5 / step for step in range(first, last + 1)]
    assert [str(metrics.pop("loss")) for metrics in trained] == list(map(str, losses))
    assert trained == [
        {"grad_norm": math.inf if step == 2 else 1.5, "lr": 1e-05, "epoch": step / 10}
        for step in range(first, last + 1)
    ]
    evaluation, mixed, final = events(items)[3:]
    assert set(evaluation.metrics) == {"loss", "runtime", "samples_per_second", "steps_per_second", "epoch"}
    assert evaluation.metrics["loss"] == 0.3
    assert mixed.metrics == {"epoch": last / 10, "inner.a": 1, "none": None}
    assert (mixed.data_slice["note"], mixed.data_slice["ok"]) == ("a text", True)
    assert mixed.notes == ["left_out: few (2 items)"]
    assert final.metrics == {"train_loss": 0.25, "train_runtime": 3.5}
    assert ("a row of media: completions (table-file)", 1) in asides(items)
    assert (reading.axis, reading.unit, lines(items), bads(items)) == ("optimizer update", "record", count, [])
    assert reading.facts["config"] == {"learning_rate": 1e-05, "seed": 3, "hub_token": "<redacted>"}
    assert (reading.facts["name"], reading.facts.get("wandb_version", "").partition("+")[0]) == ("small run", version)


def test_a_file_cut_anywhere_gives_what_is_whole(tmp_path: Path) -> None:
    """At most one torn tail is said, and nothing worse."""
    content = (GOLDEN / "run-0.31.0.wandb").read_bytes()
    for end in range(len(HEADER), len(content), 61):
        _, items = read(tmp_path / "run.wandb", content[:end])
        found = [item.problem.kind for item in items if isinstance(item, Bad)]
        assert found in ([], ["torn_tail"]), end


def test_a_damaged_record_is_passed_over(tmp_path: Path) -> None:
    """The rows around it are read, and where it stands is said."""
    content = bytearray(run_file(*(history(row(step, loss=0.5)) for step in range(3))))
    content[content.index(b"loss", content.index(b"loss") + 1)] ^= 1

    _, items = read(tmp_path / "run.wandb", bytes(content))
    assert [event.step for event in events(items)] == [0, 2]
    assert "[bad_checksum]" in bads(items)[0]


@pytest.mark.parametrize(
    ("rows", "axis", "steps", "first"),
    [
        (
            [row(0, **{"train/global_step": 10, "mine": 1}), row(1, **{"train/global_step": 20, "mine": 2})],
            "step, as its writer counts it",
            [10, 20],
            {"mine": 1},
        ),
        ([row(0, global_step=64, mine=1)], "step, as its writer counts it", [64], {"mine": 1}),
        ([row(0, **{"trainer/global_step": 5, "mine": 1})], "step, as its writer counts it", [5], {"mine": 1}),
        (
            [row(0, **{"train/global_step": 10, "mine": 1}), row(1, mine=2)],
            "W&B logging call",
            [0, 1],
            {"train/global_step": 10, "mine": 1},
        ),
        (
            [row(3, **{"actor/pg_loss": 0.5, "training/global_step": 3, "val-core/x/acc": 0.25})],
            "global step: one batch of rollouts trained on",
            [3, 3],
            {"policy_loss": 0.5, "training/global_step": 3},
        ),
    ],
    ids=["trainer", "tensorboard", "lightning", "not in every row", "verl"],
)
def test_the_step_is_the_trainers_where_every_row_has_it(
    rows: list[dict[str, Any]], axis: str, steps: list[int], first: dict[str, Any], tmp_path: Path
) -> None:
    """Otherwise it is W&B's own count of calls; verl gives W&B its own."""
    reading, items = read(tmp_path / "run.wandb", run_file(*map(history, rows)))

    assert reading.axis == axis
    assert [event.step for event in events(items)] == steps
    assert events(items)[0].metrics == first
    assert events(items)[0].wall_time == rows[0]["_runtime"]


@pytest.mark.parametrize("name", ["dpo", "nan_filter_on_gradnan", "nan_grpo_inf_reward"])
def test_a_run_of_trl_gives_the_events_of_its_trainer_state(name: str, tmp_path: Path) -> None:
    """W&B's callback rewrites keys, and puts what the end sums up into the summary alone; the epoch is not in it."""
    state = GOLDEN.parent / "trl" / f"{name}.trainer_state.json"
    path = tmp_path / f"{name}.trainer_state.json"
    path.write_bytes(state.read_bytes())
    wanted = events(list(TRLAdapter().read(path).items))
    records: list[bytes] = []
    ending: dict[str, Any] = {}
    for number, logs in enumerate(json.loads(state.read_text())["log_history"]):
        alone = {key: value for key, value in logs.items() if key in _SUMMED_UP}
        ending |= alone
        kept = {_rewritten(key): value for key, value in logs.items() if key not in {*_SUMMED_UP, "step"}}
        records.append(history(row(number, **kept, **{"train/global_step": logs["step"]})))

    _, items = read(tmp_path / "run.wandb", run_file(*records, summary({**ending, "_step": 9})))

    found = [event for event in events(items) if event.metrics.keys() != {"epoch"}]
    assert [(event.phase, event.step, event.eval_set) for event in found] == [
        (event.phase, event.step, event.eval_set) for event in wanted
    ]
    for event, other in zip(found, wanted, strict=True):
        without = {key: str(value) for key, value in other.metrics.items() if event.phase != "final" or key != "epoch"}
        assert {key: str(value) for key, value in event.metrics.items()} == without


_SUMMED_UP: Final = (
    *("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"),
)


def _rewritten(key: str) -> str:
    """A key as transformers' WandbCallback writes it."""
    return f"eval/{key.removeprefix('eval_')}" if key.startswith("eval_") else f"train/{key}"


def test_an_evaluation_of_openrlhf_has_a_step_of_its_own(tmp_path: Path) -> None:
    """`eval/global_step`, and keys that say what was evaluated."""
    rows = [
        row(0, **{"train/policy_loss": 0.5, "train/actor_lr": 1e-6, "train/global_step": 1}),
        row(1, **{"eval/eval_math_pass1": 0.25, "eval/global_step": 1}),
    ]
    _, items = read(tmp_path / "run.wandb", run_file(*map(history, rows)))

    assert [(event.step, event.phase, event.eval_set, event.metrics) for event in events(items)] == [
        (1, "train", None, {"policy_loss": 0.5, "lr": 1e-6}),
        (1, "eval", "math", {"pass1": 0.25}),
    ]


def test_a_field_map_names_the_step(tmp_path: Path) -> None:
    """And metrics, as in other formats."""
    content = run_file(history(row(0, batch=7, mine=0.5)))
    reading, items = read(tmp_path / "run.wandb", content, step="batch", reward_mean="mine")

    assert (reading.axis, events(items)[0].step, events(items)[0].metrics) == ("step", 7, {"reward_mean": 0.5})


def test_a_history_may_be_a_json_list(tmp_path: Path) -> None:
    """What `run.history(pandas=False)` gives, saved as JSON: each row is a record."""
    path = tmp_path / "history.json"
    content = json.dumps([row(0, loss=NAN), row(1, loss=0.5), 2], indent=1)
    reading, items = read(path, content)

    assert detect(path).claim == Claim(Certainty.SURE, "a JSON list with _step, _runtime, _timestamp")
    assert [(event.step, str(event.metrics["loss"])) for event in events(items)] == [(0, "nan"), (1, "0.5")]
    assert [each.partition(": ")[2] for each in bads(items)] == ["expected an object, found a number [not_an_object]"]
    assert (reading.unit, lines(items)) == ("record", 3)


def test_media_are_left_out_by_name(tmp_path: Path) -> None:
    """Beside numbers in a note, alone as lines set aside; inside objects too."""
    table = {"_type": "table-file", "ncols": 2}
    _, items = read(tmp_path / "run.wandb", run_file(history(row(0, a=1, t=table)), history(row(1, b={"c": table}))))

    (event,) = events(items)
    assert (event.metrics, event.notes) == ({"a": 1}, ["media: t (table-file)"])
    assert asides(items) == [("a row of media: b.c (table-file)", 1)]


def test_typed_and_nested_values_are_read(tmp_path: Path) -> None:
    """Newest versions may write numbers as such, and the keys that lead to them one by one."""
    items_of = [
        message((2, "a"), (2, "b"), (6, -0.5)),
        message((2, "a"), (2, "c"), (5, 3)),
        message((1, "d"), (4, 1)),
        message((1, "e"), (7, "text")),
        message((1, "f"), (8, "[1]")),
        message((1, "g"), (3, 0)),
    ]
    record = message((2, b"".join(message((1, each)) for each in items_of) + message((2, message((1, 4))))))
    _, items = read(tmp_path / "run.wandb", run_file(record))

    (event,) = events(items)
    assert (event.step, event.metrics) == (4, {"a.b": -0.5, "a.c": -2, "g": None})
    assert (event.data_slice, event.notes) == ({"d": True, "e": "text"}, ["left_out: f (1 items)"])


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (message((2, message((1, message((1, "a"), (16, "{oops")))))), "[bad_json]"),
        (message((2, message((1, message((1, "a"), (16, "9" * 30)))))), "[number_out_of_range]"),
        (
            message((2, message((1, message((1, "a"), (16, "1"))), (1, message((1, "a"), (16, "2")))))),
            "[duplicate_key]",
        ),
        (message((2, message((1, message(*[(2, "a")] * 9, (16, "1")))))), "[too_deep]"),
        (message((2, message((1, message((1, b"\xff"), (16, "1")))))), "expected UTF-8"),
        (message((2, 5)), "[bad_record]"),
        (b"\xff\xff", "[bad_record]"),
    ],
)
def test_what_cannot_be_read_is_bad(record: bytes, expected: str, tmp_path: Path) -> None:
    """A row with a wrong value is named, and the next one read."""
    _, items = read(tmp_path / "run.wandb", run_file(record, history(row(1, a=1))))

    assert expected in bads(items)[0]
    assert bads(items)[0].startswith("<line>:1:")
    assert [event.step for event in events(items)] == [1]


def test_secrets_do_not_become_facts(tmp_path: Path) -> None:
    """Neither by the name of a setting, nor inside an object that was written as a text, nor in an address."""
    config = {
        "api_key": "s",
        "ssh_keys": ["s"],
        "use_wandb": "s",
        "logger": "namespace(wandb=namespace(key='s'))",
        "store": "redis://me:s@host:6379/0",
        "base_url": "http://host:8000/v1",
        "tokenizer": "gpt2",
        "lr": 0.1,
        "key": None,
    }
    reading, _ = read(tmp_path / "run.wandb", run_file(run("r1", **config)))

    assert reading.facts["config"] == {
        **dict.fromkeys(("api_key", "ssh_keys", "use_wandb", "logger", "store"), "<redacted>"),
        "base_url": "http://host:8000/v1",
        "tokenizer": "gpt2",
        "lr": 0.1,
        "key": None,
    }


def test_a_summary_is_a_final_event(tmp_path: Path) -> None:
    """Bare NaN is read, and `train/` is taken off where a logger put it before all keys."""
    values = {
        "train/loss": 0.5,
        "train/grad_norm": NAN,
        "train/learning_rate": 1e-6,
        "train/epoch": 0.5,
        "eval/loss": 0.25,
        "train_loss": 0.75,
        "h": {"_type": "histogram"},
        "best": {"max": 2},
        "train/global_step": 4,
        "_step": 3,
        "_runtime": 36.5,
        "_timestamp": 1_790_000_000.5,
        "_wandb": {"runtime": 3},
    }
    path = tmp_path / "wandb" / "run-20240416_154045-shmrcbfs" / "files" / "wandb-summary.json"
    reading, items = read(path, json.dumps(values))

    (event,) = events(items)
    assert (event.step, event.phase, event.run_id, event.wall_time) == (4, "final", "shmrcbfs", 36.5)
    metrics = dict(event.metrics)
    assert math.isnan(metrics.pop("grad_norm") or 0)
    assert metrics == {"loss": 0.5, "lr": 1e-6, "epoch": 0.5, "eval/loss": 0.25, "train_loss": 0.75, "best.max": 2}
    assert (event.notes, lines(items), reading.axis) == (["media: h (histogram)"], 1, "optimizer update")


def test_a_summary_without_metrics_is_set_aside(tmp_path: Path) -> None:
    """As the one of a run that ended before it logged; one without a step is bad."""
    assert asides(read(tmp_path / "wandb-summary.json", '{"_wandb": {"runtime": 2}}')[1]) == [
        ("a summary without metrics", 1)
    ]
    assert (
        "expected a step, found nothing" in bads(read(tmp_path / "wandb-summary.json", '{"a": 1, "_wandb": {}}')[1])[0]
    )


def test_json_lines_of_the_api_are_a_history(tmp_path: Path) -> None:
    """Its servers write NaN as a text; null stays None, unless the rows are those of a table."""
    rows = [row(0, loss="NaN", lr=0.5), row(1, loss=None, acc=0.25)]
    reading, items = read(tmp_path / "history.jsonl", "".join(json.dumps(each) + "\n" for each in rows))

    first, second = events(items)
    assert math.isnan(first.metrics["loss"] or 0)
    assert (second.metrics, second.timestamp) == ({"loss": None, "acc": 0.25}, "2026-09-21T14:13:21.000000Z")
    assert (reading.axis, reading.unit) == ("W&B logging call", "line")

    table = [row(0, loss=0.5, acc=None), row(1, loss=None, acc=0.25)]
    _, items = read(tmp_path / "history.jsonl", "".join(json.dumps(each) + "\n" for each in table))
    assert [event.metrics for event in events(items)] == [{"loss": 0.5}, {"acc": 0.25}]


def test_a_history_as_csv_is_the_same_history(tmp_path: Path) -> None:
    """As pandas writes the table that the API gives, its index first."""
    content = ",_step,_runtime,_timestamp,loss\n0,0,0.5,1790000000.0,0.25\n1,1,1.5,1790000001.0,\n"
    _, items = read(tmp_path / "history.csv", content)

    assert [(event.step, event.wall_time, event.metrics) for event in events(items)] == [(0, 0.5, {"loss": 0.25})]
    assert asides(items) == [("header", 1), ("a row without numbers", 1)]


def test_a_chart_of_one_run_is_read(tmp_path: Path) -> None:
    """Its extremes keep their names, and a last line may be without newline when quotes close it."""
    content = '"Step","a run - loss","a run - loss__MIN","a run - loss__MAX"\n"0","0.5","0.25","0.75"\n"2","","",""'
    reading, items = read(tmp_path / "wandb_export.csv", content)

    (event,) = events(items)
    assert (event.step, event.run_id) == (0, "a-run")
    assert event.metrics == {"loss": 0.5, "loss__MIN": 0.25, "loss__MAX": 0.75}
    assert (reading.axis, reading.facts) == ("W&B logging call", {"name": "a run"})
    assert asides(items) == [("header", 1), ("a row without metrics", 1)]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Step,a - x,a - x__MIN,b - x", "expected an export of one run, found 2: a, b; export each by itself"),
        (
            "Relative Time (Process),a - x,a - x__MIN",
            (
                "expected a chart over steps, found one over 'Relative Time (Process)'; choose Step for its x axis "
                "and export it again"
            ),
        ),
    ],
)
def test_a_chart_that_is_no_run_is_refused(header: str, expected: str, tmp_path: Path) -> None:
    """With what to do about it."""
    path = tmp_path / "export.csv"
    path.write_text(header + "\n1,2,3\n")

    assert WandbAdapter().handles(read_head(path), path).certainty == Certainty.SURE
    with pytest.raises(UnknownFormatError) as caught:
        WandbAdapter().read(path)
    assert str(caught.value) == f"{path}: {expected}"


def test_a_folder_is_one_run(tmp_path: Path) -> None:
    """Its run file is read; the summary is not, and the console is left to those who read consoles."""
    folder = tmp_path / "wandb" / "offline-run-20261125_203209-golden01"
    (folder / "files").mkdir(parents=True)
    (folder / "run-golden01.wandb").write_bytes((GOLDEN / "run-0.31.0.wandb").read_bytes())
    (folder / "files" / "wandb-summary.json").write_text('{"a": 1, "_step": 3, "_runtime": 1, "_timestamp": 2e9}')
    (folder / "files" / "output.log").write_text("a line, of prose\n")
    (folder / "files" / "config.yaml").write_text("wandb_version: 1\n")
    report = IngestReport()

    assert len({event.run_id for event in ingest_events(tmp_path, report=report)}) == 1
    assert [Path(found.source).name for found in report.runs] == [folder.name]
    assert sorted(Path(found.path).name for found in report.passed_over) == ["output.log"]
    adapter = WandbAdapter()
    assert adapter.handles(b"", folder).why == "a folder of W&B with run-golden01.wandb"
    assert not adapter.handles(b"", tmp_path)
    with pytest.raises(UnknownFormatError, match="found no run file and no summary in it"):
        adapter.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it begins like no run file, history, summary or export of W&B"),
        (b'{"step": 1}\n', "JSON without W&B's own _step, _runtime, _timestamp"),
        (b"step,loss\n1,2\n", "it begins like no run file, history, summary or export of W&B"),
    ],
)
def test_other_files_are_none_of_its_own(content: bytes, why: str, tmp_path: Path) -> None:
    """And it says what it missed."""
    claim = WandbAdapter().handles(content, tmp_path / "any")

    assert (bool(claim), claim.why) == (False, why)


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    """Nobody knows how it is framed."""
    path = tmp_path / "run.wandb"
    path.write_bytes(b":W&B\xe1\xbe\x01" + bytes(20))

    with pytest.raises(UnknownFormatError, match="expected a run file of W&B of version 0, which begins with"):
        WandbAdapter().read(path)


@needs_shared
def test_a_real_run_file_is_read_whole() -> None:
    """All 3246 records of somebody else's run, and its 62 steps."""
    path = next((REAL / "openrlhf").rglob("*.wandb"))
    reading = WandbAdapter().read(path)
    items = list(reading.items)

    assert detect(path).adapter.name == "wandb"
    assert [event.step for event in events(items)] == list(range(1, 63))
    assert (lines(items), bads(items), reading.axis) == (3246, [], "optimizer update")
    assert events(items)[0].metrics == {
        "gpt_loss": 0.9912577271461487,
        "loss": 0.4360978901386261,
        "lr": 2.499999936844688e-06,
    }


@needs_shared
@pytest.mark.parametrize(("name", "step"), [("shmrcbfs", 4), ("8zwal4ai", 6), ("latest-run", 25001984)])
def test_real_summaries_are_read(name: str, step: int) -> None:
    """With the step that their trainer counted, where it did."""
    path = next(each for each in REAL.rglob("wandb-summary.json") if name in str(each))

    (event,) = events(list(WandbAdapter().read(path).items))
    assert (event.run_id, event.step, event.phase) == (name, step, "final")


@pytest.mark.parametrize("name", ["run.wandb", "history.jsonl", "wandb-summary.json", "export.csv", "history.csv"])
def test_damage_is_never_more_than_an_error(name: str, tmp_path: Path) -> None:
    """Whatever becomes of a file, it is read or refused."""
    content = {
        "run.wandb": run_file(run("r1", lr=1), history(row(0, a=1, b={"c": NAN})), summary({"d": 2})),
        "history.jsonl": b"".join(json.dumps(row(step, loss=0.5, b={"c": "x"})).encode() + b"\n" for step in range(3)),
        "wandb-summary.json": json.dumps(row(3, loss=NAN, _wandb={})).encode(),
        "export.csv": b'"Step","a - x","a - x__MIN"\n"0","0.5","0.25"\n',
        "history.csv": b",_step,_runtime,_timestamp,loss\n0,0,0.5,1790000000.0,0.25\n",
    }[name]
    survives(WandbAdapter(), tmp_path / name, content, 500)


def test_many_keys_take_little_time_and_memory(tmp_path: Path) -> None:
    """A row of ten thousand keys, many times."""
    content = run_file(*(history(row(step, **{f"k{key}": 1 for key in range(2000)})) for step in range(20)))
    began = time.perf_counter()
    _, items = read(tmp_path / "run.wandb", content)

    assert len(events(items)) == 20
    assert time.perf_counter() - began < 3
