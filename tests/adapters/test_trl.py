"""Reading what a Trainer of TRL or transformers leaves behind."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from rldk.adapters.base import HEAD, Aside, Bad, Certainty, Claim, Parsed
from rldk.adapters.lines import read_head
from rldk.adapters.registry import detect
from rldk.adapters.rldk_events import RLDKEventsAdapter
from rldk.adapters.trl import TRLAdapter
from rldk.errors import UnknownFormatError
from tests.adapters.items import asides, bads, events, lines, survives
from tests.samples import an_event, write_log
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from rldk.adapters.base import Item, Reading
    from rldk.io.event_schema import Event

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "trl"
TRAIN: Final = {"loss": 0.5, "grad_norm": 1.25, "learning_rate": 0.001, "epoch": 0.5}
EVAL: Final = {"eval_loss": 0.25, "eval_runtime": 2.0, "eval_samples_per_second": 8.0, "epoch": 0.5}
FINAL: Final = {"train_runtime": 9.0, "train_samples_per_second": 4.0, "train_loss": 0.75, "epoch": 1.0}


def read(path: Path, **field_map: str) -> Reading:
    """The run in a file or folder, as this adapter reads it."""
    return TRLAdapter(field_map).read(path)


def save(path: Path, rows: Any, **others: Any) -> Path:
    """Write a state with such a history, as a Trainer does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    step = rows[-1].get("step", 0) if rows and isinstance(rows, list) and isinstance(rows[-1], dict) else 0
    state = {"epoch": 1.0, "global_step": step, "log_history": rows, "max_steps": 10, **others}
    path.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
    return path


def points(found: list[Event]) -> list[tuple[str, str | None, int]]:
    """Where events belong."""
    return [(event.phase, event.eval_set, event.step) for event in found]


def claim(path: Path) -> Claim:
    """What the adapter says of a file."""
    return TRLAdapter().handles(read_head(path), path)


def test_a_history(tmp_path: Path) -> None:
    """Rows of training, of evaluations, and the summary, several at one step, are events of their phases."""
    several = {
        "eval_math_loss": 1.0,
        "eval_math_runtime": 1.0,
        "eval_math_samples_per_second": 1.0,
        "eval_entropy": 2.0,
    }
    rows = [
        {**TRAIN, "step": 2},
        {**EVAL, "step": 2},
        {**several, "step": 2},
        {**TRAIN, "epoch": 1.0, "step": 4},
        {**FINAL, "reward": 1.0, "step": 5},
    ]
    reading = read(save(tmp_path / "sft-run" / "trainer_state.json", rows))
    items = list(reading.items)
    found = events(items)

    assert points(found) == [
        ("train", None, 2),
        ("eval", None, 2),
        ("eval", "math", 2),
        ("train", None, 4),
        ("final", None, 5),
    ]
    assert found[0].metrics == {"loss": 0.5, "grad_norm": 1.25, "lr": 0.001, "epoch": 0.5}
    assert found[0].model_info == {"run_id": "sft-run", "framework": "transformers", "phase": "train"}
    assert [event.data_slice for event in found] == [
        {"window": 2},
        {},
        {"eval_set": "math"},
        {"window": 2},
        {},
    ]
    assert found[1].metrics == {"loss": 0.25, "runtime": 2.0, "samples_per_second": 8.0, "epoch": 0.5}
    assert found[2].metrics == {"loss": 1.0, "runtime": 1.0, "samples_per_second": 1.0, "entropy": 2.0}
    assert found[4].notes == ["final_leftovers: reward are of step 5 and had no log of their own"]
    assert (reading.axis, reading.unit, lines(items)) == ("optimizer update", "record", 5)
    assert reading.facts["max_steps"] == 10
    assert all(event.wall_time is None and event.timestamp is None for event in found)


def test_bare_nan_and_null(tmp_path: Path) -> None:
    """NaN and infinities stand bare in a state and stay what they are; null is what the trainer said."""
    rows = [{**TRAIN, "grad_norm": math.nan, "reward": None, "kl": -math.inf, "step": 1}]
    (event,) = events(list(read(save(tmp_path / "trainer_state.json", rows)).items))

    assert math.isnan(event.metrics["grad_norm"])  # type: ignore[arg-type]
    assert event.metrics["reward"] is None
    assert event.metrics["kl"] == -math.inf
    (note,) = event.notes
    assert note.startswith("loss_filtered: loss 0.5 beside grad_norm nan is not to be trusted")


@pytest.mark.parametrize(
    ("losses", "noted"),
    [([0.6931, 0.0], []), ([0.69314, 0.0], [2]), ([0.0, 0.123456], [1])],
    ids=["rounded", "not rounded", "not rounded, at first"],
)
def test_a_loss_of_zero(losses: list[float], noted: list[int], tmp_path: Path) -> None:
    """Before transformers 5 losses were rounded to four decimals, so that 0.0 was a small loss and no lost NaN."""
    rows = [{**TRAIN, "loss": loss, "step": step} for step, loss in enumerate(losses, 1)]
    found = events(list(read(save(tmp_path / "trainer_state.json", rows)).items))

    assert [event.step for event in found if event.notes] == noted


def test_rows_that_cannot_be_read(tmp_path: Path) -> None:
    """A row without a step, one with half a step, and one that is no object are bad, and the others are read."""
    rows: list[Any] = [TRAIN, {**TRAIN, "step": 1.5}, 7, {**TRAIN, "step": 2.0}]
    items = list(read(save(tmp_path / "trainer_state.json", rows)).items)

    assert [type(item) for item in items] == [Bad, Bad, Bad, Parsed]
    assert bads(items) == [
        "<line>:5:63: $.log_history[0].step: expected a step, found nothing [missing_field]",
        "<line>:11:169: $.log_history[1].step: expected a whole number, found 1.5 [wrong_type]",
        "<line>:18:294: $.log_history[2]: expected an object, found something else [not_an_object]",
    ]


@pytest.mark.parametrize("rows", [[], None, "x"])
def test_no_history(rows: Any, tmp_path: Path) -> None:
    """A state that holds no history is no run of nothing."""
    items = list(read(save(tmp_path / "trainer_state.json", rows)).items)

    assert bads(items) == [
        "<line>:4:55: expected rows in the history, found none: it was saved before anything was logged [empty_file]"
    ]


def test_a_torn_state(tmp_path: Path) -> None:
    """A state that is cut short is said to be."""
    path = save(tmp_path / "trainer_state.json", [{**TRAIN, "step": 1}])
    path.write_bytes(path.read_bytes()[:150])
    items = list(read(path).items)

    assert [item.problem.kind for item in items if isinstance(item, Bad)] == ["torn_tail"]


def test_a_bare_list_of_rows(tmp_path: Path) -> None:
    """A `log_history` that somebody saved by itself is read like a state."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([{**TRAIN, "step": 1}, {"no": "step"}]))

    assert claim(path) == Claim(Certainty.TYPICAL, "a list of rows as in log_history, with step and epoch")
    items = list(read(path).items)
    assert points(events(items)) == [("train", None, 1)]
    assert bads(items) == ["<line>:1:84: $[1].step: expected a step, found nothing [missing_field]"]


def test_the_checkpoint_that_went_furthest(tmp_path: Path) -> None:
    """Of an output folder the state that went furthest is read; the one at its top when it went as far."""
    rows = [{**TRAIN, "step": step} for step in range(1, 11)]
    for step in (5, 10, 9):
        save(tmp_path / "out" / f"checkpoint-{step}" / "trainer_state.json", rows[:step])
    out = tmp_path / "out"

    def read_from() -> str:
        return str(read(out).facts["history"]).removeprefix(f"{out}/")

    assert read_from() == "checkpoint-10/trainer_state.json"
    assert {event.run_id for event in events(list(read(out).items))} == {"out"}
    save(out / "trainer_state.json", rows[:9])
    assert read_from() == "checkpoint-10/trainer_state.json"
    save(out / "trainer_state.json", rows)
    assert read_from() == "trainer_state.json"
    assert claim(out) == Claim(Certainty.SURE, "a folder with trainer_state.json")


def test_checkpoints_are_one_run(tmp_path: Path) -> None:
    """Whatever state of a run is found, the run is its output folder; a state alone is itself."""
    adapter, out = TRLAdapter(), tmp_path / "out"
    inner = save(out / "checkpoint-5" / "trainer_state.json", [{**TRAIN, "step": 5}])
    alone = save(tmp_path / "alone" / "trainer_state.json", [{**TRAIN, "step": 5}])
    results = out / "eval_results.json"
    results.write_text("{}")

    assert adapter.unit(inner, tmp_path) == out
    assert adapter.unit(inner, out) == out
    assert adapter.unit(inner, inner.parent) == inner
    assert adapter.unit(results, tmp_path) == out
    assert adapter.unit(alone, tmp_path) == alone
    top = save(out / "trainer_state.json", [{**TRAIN, "step": 6}])
    assert adapter.unit(top, tmp_path) == adapter.unit(inner, tmp_path) == out
    assert adapter.unit(tmp_path / "run.log", tmp_path) == tmp_path / "run.log"


def test_results_of_one_folder_are_one_run(tmp_path: Path) -> None:
    """`all_results.json` holds what is in the others, and stands for them."""
    for name in ("all_results.json", "eval_results.json", "train_results.json"):
        (tmp_path / name).write_text("{}")

    assert TRLAdapter().unit(tmp_path / "eval_results.json", tmp_path) == tmp_path / "all_results.json"
    (tmp_path / "all_results.json").unlink()
    assert TRLAdapter().unit(tmp_path / "eval_results.json", tmp_path) == tmp_path / "train_results.json"


@pytest.mark.parametrize("name", ["grpo_full", "dpo", "nan_filter_on_gradnan", "nan_grpo_inf_reward", "ppo_trl1.12.0"])
def test_states_of_trl(name: str) -> None:
    """Every number that TRL itself saved is in an event of its step."""
    path = GOLDEN / f"{name}.trainer_state.json"
    history = json.loads(path.read_text())["log_history"]
    found = events(list(read(path).items))

    assert [event.step for event in found] == [row["step"] for row in history]
    assert [_numbers(event.metrics) for event in found] == [
        _numbers({key: value for key, value in row.items() if key != "step"}) for row in history
    ]
    assert detect(path).claim == Claim(Certainty.SURE, "the state of a Trainer, with global_step and log_history")


def _numbers(metrics: dict[str, Any]) -> list[str]:
    return sorted(map(repr, metrics.values()))


def test_what_cannot_be_told_is_not_claimed() -> None:
    """GRPO and RLOO log the same names; `kl` is given its name, and no estimator that it may not have."""
    reading = read(GOLDEN / "grpo_full.trainer_state.json")
    found = events(list(reading.items))
    kl = reading.sources["kl"]

    assert found[0].model_info["algorithm"] == reading.facts["algorithm"] == "grpo or rloo"
    assert found[0].model_info["framework"] == "trl"
    assert (kl.canonical, kl.estimator, kl.sign) == ("kl_mean", "", "")
    assert kl.algorithms == ("grpo", "rloo")


def test_what_lies_beside_tells_the_algorithm(tmp_path: Path) -> None:
    """With TRL's model card beside it, GRPO is known, and its `kl` is the k3 estimator."""
    path = tmp_path / "checkpoint-10" / "trainer_state.json"
    path.parent.mkdir()
    path.write_bytes((GOLDEN / "grpo_full.trainer_state.json").read_bytes())
    (tmp_path / "README.md").write_text("---\ntags:\n- generated_from_trainer\n- trl\n- grpo\n---\n# Model\n- dpo\n")
    reading = read(path)
    found = events(list(reading.items))

    assert found[0].model_info["algorithm"] == "grpo"
    assert reading.sources["kl"].estimator == "k3"
    assert reading.facts["algorithm_told_by"] == "the tags in README.md"


def test_results(tmp_path: Path) -> None:
    """Results are the last events of a run, training and each evaluation apart, at the step of the state beside."""
    save(tmp_path / "checkpoint-8" / "trainer_state.json", [{**TRAIN, "step": 8}])
    path = tmp_path / "all_results.json"
    results = FINAL | {"eval_loss": 0.5, "eval_runtime": 2.0, "eval_samples_per_second": 8.0}
    results |= {"predict_runtime": 1.0, "predict_samples_per_second": 2.0, "predict_rouge": 0.25, "total_flos": 7}
    path.write_text(json.dumps(results, indent=4, sort_keys=True))
    reading = read(path)
    items = list(reading.items)

    assert claim(path) == Claim(Certainty.SURE, "results of transformers, with a runtime and its rate")
    assert points(events(items)) == [("eval", None, 8), ("eval", "predict", 8), ("final", None, 8)]
    assert [event.metrics for event in events(items)] == [
        {"loss": 0.5, "runtime": 2.0, "samples_per_second": 8.0},
        {"rouge": 0.25, "runtime": 1.0, "samples_per_second": 2.0},
        FINAL | {"total_flos": 7},
    ]
    assert (lines(items), reading.unit) == (1, "record")
    assert reading.facts["step_told_by"].endswith("checkpoint-8/trainer_state.json")


def test_results_of_an_evaluation_alone(tmp_path: Path) -> None:
    """What an evaluation saved without its prefix, as a perplexity, is its own."""
    save(tmp_path / "trainer_state.json", [{**TRAIN, "step": 8}])
    path = tmp_path / "eval_results.json"
    path.write_text(json.dumps(EVAL | {"perplexity": 3.5}, indent=4))
    (event,) = events(list(read(path).items))

    assert (event.phase, event.step) == ("eval", 8)
    assert event.metrics == {"loss": 0.25, "runtime": 2.0, "samples_per_second": 8.0, "epoch": 0.5, "perplexity": 3.5}


def test_results_without_a_step(tmp_path: Path) -> None:
    """Results do not say their step; without a state beside them they are refused, with what to do."""
    path = tmp_path / "all_results.json"
    path.write_text(json.dumps(FINAL, indent=4))

    with pytest.raises(UnknownFormatError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: expected trainer_state.json beside it, or in a checkpoint there, found none: the results say nothing "
        "of their step; put it there, or ingest the state or the console of the run instead"
    )


def test_results_beside_a_state_are_a_fact(tmp_path: Path) -> None:
    """A run that is read from its state has the results beside it as a fact, not as further events."""
    path = save(tmp_path / "trainer_state.json", [{**TRAIN, "step": 1}])
    (tmp_path / "all_results.json").write_text(json.dumps(FINAL, indent=4))

    assert read(path).facts["all_results.json"] == FINAL
    (tmp_path / "all_results.json").write_text("{")
    assert read(path).facts["all_results.json"] == (
        f"cannot be read: {tmp_path / 'all_results.json'}:1:1: expected a string, found the end of the line [torn_tail]"
    )


def test_completions(tmp_path: Path) -> None:
    """Completions that TRL saved are counted, and are no events; a damaged file of them is named."""
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    path = save(tmp_path / "checkpoint-1" / "trainer_state.json", [{**TRAIN, "step": 1}])
    (tmp_path / "completions").mkdir()
    for number in (1, 2):
        table = pyarrow.table({"step": [number] * 4, "completion": ["a"] * 4})
        parquet.write_table(table, tmp_path / "completions" / f"completions_0000{number}.parquet")
    reading = read(path)
    list(reading.items)

    assert reading.facts["completions"] == {"files": 2, "rows": 8, "steps": 2}
    (tmp_path / "completions" / "completions_00003.parquet").write_bytes(b"PAR1")
    reading = read(path)
    list(reading.items)
    assert reading.facts["completions"]["files"] == 3
    assert reading.facts["completions"]["rows"] == 8
    assert reading.facts["completions"]["damaged"][0].startswith("completions_00003.parquet: ")


def test_completions_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the run is read all the same, and it is said what counting needs."""
    path = save(tmp_path / "trainer_state.json", [{**TRAIN, "step": 1}])
    (tmp_path / "completions").mkdir()
    (tmp_path / "completions" / "completions_00001.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    reading = read(path)

    assert len(list(reading.items)) == 1
    needs = "reading them needs pyarrow: pip install 'rldk[table]'"
    assert reading.facts["completions"] == {"files": 1, "not_counted": needs}


def test_rldks_own_logs(tmp_path: Path) -> None:
    """RLDK's own log is read as its own adapter does, which is asked first."""
    path = write_log(tmp_path / "r1_events.jsonl", [an_event(1), an_event(2)])

    assert list(read(path).items) == list(RLDKEventsAdapter().read(path).items)
    assert list(TRLAdapter().events(tmp_path)) == list(RLDKEventsAdapter().events(tmp_path))
    assert claim(path) == Claim(Certainty.TYPICAL, "the first line is an RLDK event, which is read as such")
    assert detect(path).adapter.name == "rldk_events"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"loss": 1.0, "step": 1}\n', "JSON without log_history"),
        (b"step,loss\n1,2\n", "no line with metrics among its 2 lines"),
        (b"launching\n{'round_1': 3, 'round_2': 4}\n", "no line with metrics among its 2 lines"),
        (
            b"go\n{'loss': 0.5, 'grad_norm': 1.\n5, 'epoch': 0.1}\n",
            "no line with metrics among its 3 lines; line 2 begins like one, and is broken off",
        ),
        (b"\0\0\0\0log", "it is no text"),
        (
            b"go\nTraceback (most recent call last):\n  x\nOSError: no\n",
            "no line with metrics among its 4 lines; its last traceback, line 4: OSError: no",
        ),
    ],
)
def test_what_is_of_another_kind(content: bytes, why: str, tmp_path: Path) -> None:
    """What holds no record of a Trainer is not claimed, and is refused when it is read all the same."""
    path = tmp_path / "run.log"
    path.write_bytes(content)

    assert claim(path) == Claim(Certainty.NO, why)
    with pytest.raises(UnknownFormatError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: expected what a Trainer saves or prints, found none of it: {why}"


def test_an_empty_folder(tmp_path: Path) -> None:
    """A folder in which no Trainer saved anything is refused."""
    assert claim(tmp_path) == Claim(
        Certainty.NO, "neither trainer_state.json nor checkpoints with one are in the folder"
    )


@needs_shared
def test_old_names_in_real_states() -> None:
    """TRL to 0.16 logged `completion_length` and plain `rewards/<f>`, in GRPO alone."""
    path = REAL / "trl/IMJONEZZ__UnslothGRPO/outputs/checkpoint-250/trainer_state.json"
    reading = read(path)
    found = events(list(reading.items))

    assert len(found) == 250
    assert found[0].run_id == "outputs"
    assert found[0].model_info["algorithm"] == "grpo"
    assert not [note for event in found for note in event.notes]
    assert {"reward_component/xmlcount_reward_func", "kl_mean", "reward_mean"} <= found[0].metrics.keys()


@pytest.mark.parametrize("length", [0, 1, 100, HEAD])
def test_a_head_that_is_cut(length: int) -> None:
    """Whatever there is of a head, something is said of it."""
    content = (GOLDEN / "dpo.trainer_state.json").read_bytes()[:length]

    assert TRLAdapter().handles(content, Path("nowhere")).why


def test_damaged_states(tmp_path: Path) -> None:
    """A state that was damaged by chance gives events or an error of RLDK."""
    rows: list[Item | Any] = [{**TRAIN, "step": 1}, {**EVAL, "step": 1}, {**FINAL, "step": 2}]
    content = save(tmp_path / "trainer_state.json", rows).read_bytes()

    survives(TRLAdapter(), tmp_path / "trainer_state.json", content)
    survives(TRLAdapter(), tmp_path / "all_results.json", json.dumps(FINAL, indent=4).encode())


def test_only_damage_is_bad(tmp_path: Path) -> None:
    """A blank or unknown line of a console is aside; nothing of a file is left out."""
    path = tmp_path / "run.log"
    path.write_text(f"hello\n\n{TRAIN}\nbye")
    items = list(read(path).items)

    assert [type(item) for item in items] == [Aside, Aside, Parsed, Aside]
    assert asides(items) == [("no metrics", 1)] * 3
