"""Reading what a Trainer prints, among bars and whatever else is on the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import pytest

from rldk.adapters.base import Aside, Bad, Parsed
from rldk.adapters.trl import TRLAdapter
from tests.adapters.items import asides, bads, events, lines, survives
from tests.shared import REAL, needs_shared

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Item, Reading

CLEAR: Final = "\r" + " " * 40 + "\r"
COUNTED: Final = "step_counted: the console does not tell the steps of the training, this counts its records"
FINAL: Final = "{'train_runtime': 9.0, 'train_samples_per_second': 4.0, 'train_loss': 0.75, 'epoch': 1.0}"


def bar(done: int, total: int = 160, name: str = "") -> str:
    """What tqdm draws."""
    return f"\r{name}{done * 100 // total:3}%|██▌       | {done}/{total} [00:01<00:04,  2.00it/s]"


def train(step: int, total: int = 160) -> str:
    """What the Trainer prints at a step, of which there are so many in an epoch."""
    return f"{{'loss': 0.5, 'grad_norm': 1.25, 'learning_rate': 1e-05, 'epoch': {round(step / total, 2)}}}"


def evaluated(step: int, total: int = 160) -> str:
    """What the Trainer prints of an evaluation."""
    epoch = round(step / total, 2)
    return f"{{'eval_loss': 0.25, 'eval_runtime': 2.0, 'eval_samples_per_second': 8.0, 'epoch': {epoch}}}"


def printed(tmp_path: Path, text: str) -> Reading:
    """The run that printed a text."""
    path = tmp_path / "run.log"
    path.write_bytes(text.encode())
    return TRLAdapter().read(path)


def steps(items: list[Item]) -> list[tuple[str, int]]:
    """The phases and steps of the events."""
    return [(event.phase, event.step) for event in events(items)]


@pytest.mark.parametrize(
    ("record", "metrics"),
    [
        ("{'loss': 0.5, 'learning_rate': 1e-05, 'epoch': 0.01}", {"loss": 0.5, "lr": 1e-05, "epoch": 0.01}),
        ("{'loss': '0.0005834', 'learning_rate': '0', 'epoch': '1'}", {"loss": 0.0005834, "lr": 0, "epoch": 1}),
        ("{'loss': 'nan', 'grad_norm': inf, 'epoch': 1.0}", {"loss": math.nan, "grad_norm": math.inf, "epoch": 1.0}),
        ("{'loss': None, 'grad_norm': '-inf', 'epoch': 1}", {"loss": None, "grad_norm": -math.inf, "epoch": 1}),
        ("{'loss': np.float64(0.5), 'x': tensor(2.5), 'epoch': 1.0}", {"loss": 0.5, "x": 2.5, "epoch": 1.0}),
        ("{'lr': 1e-05, 'eps': 3, 'episode': 12, 'epoch': 0.1}", {"lr": 1e-05, "eps": 3, "episode": 12, "epoch": 0.1}),
    ],
    ids=["old", "quoted", "nan", "none", "numpy", "ppo"],
)
def test_numbers(record: str, metrics: dict[str, Any], tmp_path: Path) -> None:
    """Numbers are read as printed: bare to transformers 4, in quotes since 5, NaN and infinities among them."""
    (event,) = events(list(printed(tmp_path, f"{record}\n").items))

    assert repr(event.metrics) == repr(metrics)


@pytest.mark.parametrize(
    "around",
    [
        "{}\n",
        "{}\r\n",
        "(main_task pid=12, ip=10.0.0.1) {}\n",
        "[rank0]:{}\n",
        "2025-02-20 20:27:13,107 - __main__ - INFO - {}\n",
        "\x1b[36m{}\x1b[0m\n",
        "\r  1%|          | 1/160 [00:22<59:45, 22.55s/it]\r     \r{}\n",
        " 10%|█         | 1/10 [00:01<00:09,  1.0s/it]{}\n",
        "{} [repeated 2x across cluster]\n",
        "{}",
    ],
)
def test_where_records_stand(around: str, tmp_path: Path) -> None:
    """A record is found behind bars, colours and prefixes; without a bar that tells its step the records count."""
    reading = printed(tmp_path, around.format(train(1)))
    items = list(reading.items)

    assert steps(items) == [("train", 1)]
    assert events(items)[0].notes == [COUNTED]
    assert events(items)[0].data_slice == {}
    assert (reading.axis, lines(items)) == ("log record", 1)


def test_several_records_in_a_line(tmp_path: Path) -> None:
    """Records that lost their newline are all read, and are one line."""
    items = list(printed(tmp_path, f"{train(1)} {train(2)}{bar(2)}\r{train(3)}\n{evaluated(3)}\n{FINAL}\n").items)

    assert steps(items) == [("train", 1), ("train", 2), ("train", 3), ("eval", 4), ("final", 5)]
    assert lines(items) == 3


@pytest.mark.parametrize(
    "text",
    [
        "Step 10: {'loss': 0.5, 'learning_rate': 1e-05, 'epoch': 0.01}",
        "TrainOutput(global_step=3, training_loss=0.5, metrics={'train_runtime': 1.0, 'epoch': 1.0})",
        "WORLD INFO DICT: {'localhost': [0, 1]}",
        "[INFO] [config.py:1000:print]   aio_config ... {'block_size': 1048576, 'queue_depth': 8}",
        "{'round_1': 0, 'round_2': 3}",
        "{'localhost': [0, 1, 2], 'unfinished",
        "{'text': 'loss'}",
    ],
)
def test_other_dicts(text: str, tmp_path: Path) -> None:
    """Settings, counts, and what others print of a record again, are prose."""
    items = list(printed(tmp_path, f"{train(1)}\n{text}\n").items)

    assert [type(item) for item in items] == [Parsed, Aside]


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    """What begins like a record and is cut off is bad, with the byte where it ends; at the end of a file it is torn."""
    items = list(printed(tmp_path, f"{train(1)}\nx\r{{'loss': 0.5, 'grad_no\n{{'loss': 0.5, 'gr").items)

    assert [type(item) for item in items] == [Parsed, Bad, Bad]
    unread, torn = bads(items)
    assert unread == '<line>:2:88: expected a key in quotes, found "\'grad_no" [bad_json]'
    assert torn.startswith("<line>:3:97: expected a newline at the end of the last line, found 17 bytes without one")


@pytest.mark.parametrize(
    "prefix",
    [
        "[INFO|callbacks.py:310] 2024-03-01 10:00:00,000 >> ",
        "[INFO|2025-03-01 10:00:00] llamafactory.train.callbacks:143 >> ",
        f"{bar(1)[1:]}[INFO|2025-03-01 10:00:00] llamafactory.train.callbacks:143 >> ",
        "03/01/2024 10:00:00 - INFO - llmtuner.extras.callbacks - ",
    ],
)
def test_what_llamafactory_prints_again(prefix: str, tmp_path: Path) -> None:
    """LLaMA-Factory prints each record a second time, rounded; where it alone prints, its are the records."""
    again = prefix + "{'loss': 0.5000, 'learning_rate': 1e-05, 'epoch': 0.01}"
    both = list(printed(tmp_path, f"{train(1)}\n{again}\n").items)
    alone = list(printed(tmp_path, f"{again}\n").items)

    assert steps(both) == steps(alone) == [("train", 1)]
    assert asides(both) == [("the record before, printed again by another tool", 1)]


def test_a_step_in_the_record(tmp_path: Path) -> None:
    """ms-swift prints the step in its records, and its own trainers' names apply."""
    record = "{{'loss': '0.5', 'learning_rate': '1e-05', 'epoch': '0.1', 'global_step/max_steps': '{}/438'}}\n"
    reading = printed(tmp_path, record.format(10) + record.format(20))
    found = events(list(reading.items))

    assert [event.step for event in found] == [10, 20]
    assert [event.data_slice["window"] for event in found] == [10, 10]
    assert found[0].model_info["framework"] == "ms_swift"
    assert (reading.axis, reading.facts["steps_told_by"]) == ("optimizer update", "the records")


def unbuffered() -> str:
    """A console of 160 steps in which what is printed stands where it was printed."""
    text = bar(0)
    for step in (10, 20):
        text += f"{bar(step - 1)}{CLEAR}{train(step)}\n{bar(step)}"
    # The evaluation has a bar of its own, one line below; which of the two is drawn first is left to chance.
    text += f"\n{bar(0, 68)}\x1b[A\n{bar(68, 68)}\x1b[A{CLEAR}\n{CLEAR}\x1b[A{evaluated(20)}\n"
    text += f"\n{bar(68, 68)}\x1b[A{bar(20)}\n\r{' ' * 40}\x1b[A{bar(21)}"
    return text + f"{bar(160)}{CLEAR}{FINAL}\n{bar(160)}{bar(160)}\n"


def buffered() -> str:
    """The same console as a file has it, in which what was printed comes late, many records at once."""
    records = [train(10), train(20), evaluated(20), FINAL]
    text = unbuffered()
    for record in records:
        text = text.replace(f"{record}\n", "")
    return text + "\n".join([*records, ""])


def viewed() -> str:
    """The same console as those viewers of logs show it that begin a line at each carriage return."""
    return buffered().replace("\r", "\n")


@pytest.mark.parametrize("text", [unbuffered(), buffered(), viewed()], ids=["unbuffered", "buffered", "viewed"])
def test_steps_of_the_bar(text: str, tmp_path: Path) -> None:
    """The bar is drawn anew for each record, with its step, also where the records reach the file much later."""
    reading = printed(tmp_path, text)
    items = list(reading.items)

    assert steps(items) == [("train", 10), ("train", 20), ("eval", 20), ("final", 160)]
    assert [event.data_slice for event in events(items)] == [{"window": 10}, {"window": 10}, {}, {}]
    assert [event.notes for event in events(items)] == [[], [], [], []]
    assert (reading.axis, reading.facts["steps_told_by"]) == ("optimizer update", "the progress bar")


@pytest.mark.parametrize(
    "text",
    [
        unbuffered() + train(30) + "\n",
        unbuffered().replace(train(20), train(20) + "\n" + train(20)),
        unbuffered().replace(f"{bar(20)}", bar(5)),
        unbuffered().replace("'epoch': 0.12", "'epoch': 0.9"),
        unbuffered().replace(f"{CLEAR}{train(10)}\n", f"{train(10)}\n"),
        unbuffered() + unbuffered(),
        unbuffered().replace(bar(10), bar(10, name="Map: ")),
        viewed().replace(bar(10).replace("\r", "\n"), "\n"),
    ],
    ids=["more records", "one twice", "back", "epochs", "fewer clearings", "two runs", "another bar", "no bar"],
)
def test_a_bar_that_may_be_wrong(text: str, tmp_path: Path) -> None:
    """When bars and records do not agree in all, no step is guessed: the records count."""
    reading = printed(tmp_path, text)
    found = events(list(reading.items))

    assert [event.step for event in found] == list(range(1, len(found) + 1))
    assert [event.notes for event in found] == [[COUNTED]] + [[]] * (len(found) - 1)
    assert reading.axis == "log record"


def test_settings_printed_first(tmp_path: Path) -> None:
    """A console that begins with settings printed as JSON is one all the same."""
    reading = printed(tmp_path, f'{{\n  "log": [\n    1\n  ]\n}}\n{train(1)}\n')

    assert steps(list(reading.items)) == [("train", 1)]


def test_a_field_map_gives_the_step(tmp_path: Path) -> None:
    """Where a record has a step under another name, the user can say so."""
    path = tmp_path / "run.log"
    path.write_text("{'lr': 1e-05, 'episode': 12, 'epoch': 0.1}\n{'lr': 1e-05, 'episode': 24, 'epoch': 0.2}\n")
    reading = TRLAdapter({"step": "episode"}).read(path)

    assert [event.step for event in events(list(reading.items))] == [12, 24]
    assert reading.axis == "step"


@needs_shared
def test_a_real_console() -> None:
    """Twenty records of a DPO run that came late, in four bursts, are at the steps they were made at."""
    reading = TRLAdapter().read(REAL / "trl/iiicellled__Clean-Code-Qwen/dpo.log")
    items = list(reading.items)
    trained = [event.step for event in events(items) if event.phase == "train"]

    assert trained == list(range(10, 161, 10))
    assert [step for phase, step in steps(items) if phase != "train"] == [50, 100, 150, 160]
    assert reading.facts["algorithm"] == "dpo or cpo"


def test_damaged_consoles(tmp_path: Path) -> None:
    """A console that was damaged by chance gives events or an error of RLDK."""
    survives(TRLAdapter(), tmp_path / "run.log", unbuffered().encode())
    survives(TRLAdapter(), tmp_path / "run.log", f"(main_task pid=1) {train(1)}\n{FINAL}\n".encode())
