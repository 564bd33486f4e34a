"""A run of OpenRLHF gives the same events from RLDK's log, from its TensorBoard folder and from its console."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from rldk.adapters.base import HEAD, Aside, Bad, Certainty, Claim, Item, Parsed
from rldk.adapters.openrlhf import OpenRLHFAdapter
from rldk.adapters.openrlhf_logs import ROLLOUTS, read_eval, read_train, trainer_of
from rldk.adapters.tensorboard import TensorBoardAdapter
from rldk.errors import UnknownFormatError
from rldk.io.clock import RunClock
from rldk.io.recorder import Recorder
from rldk.io.writer import open_writer
from rldk.metrics import Translator
from tests.adapters.event_file import event_file, scalars
from tests.runs import make_event, write_attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldk.io.event_schema import Event

GOLDEN = Path(__file__).parents[1] / "golden" / "openrlhf"
"""Runs of OpenRLHF 0.11.2: its TensorBoard folders, and what it handed to its loggers."""


class Log(NamedTuple):
    """What OpenRLHF handed to its logger at one time."""

    phase: str
    step: int
    logs: dict[str, Any]


def recorded(run: str) -> list[Log]:
    """What was handed to the logger in a run; where it was handed key by key, together again."""
    found: list[Log] = []
    for line in (GOLDEN / run / "rec.jsonl").read_text().splitlines():
        each = json.loads(line)
        if each["kind"] not in {"train", "eval"}:
            continue
        logs = {key.removeprefix("eval/"): value for key, value in each["metrics"].items()}
        if found and found[-1][:2] == (each["kind"], each["step"]):
            found[-1].logs.update(logs)
        else:
            found.append(Log(each["kind"], each["step"], logs))
    return found


def write_log(folder: Path, logs: list[Log]) -> Path:
    """Write these logs as RLDK's callback does; the path of the log."""
    writer = open_writer(folder, run_id="r")
    keys = {key for log in logs if log.phase == "train" for key in log.logs}
    translator = Translator("openrlhf", trainer_of(keys).algorithm)
    recorder = Recorder(writer, clock=RunClock(), translator=translator, rng={}, model_info={"run_id": "r"})
    for log in logs:
        for entry in [read_train(log.logs)] if log.phase == "train" else read_eval(log.logs):
            data_slice = {} if entry.eval_set is None else {"eval_set": entry.eval_set}
            recorder.record(log.step, entry.metrics, phase=entry.phase, data_slice=data_slice)
    writer.close()
    return writer.path


def printed(log: Log, *, asynchronous: bool) -> str:
    """What OpenRLHF prints of a log of PPO, as `ppo_trainer.py` and `ppo_trainer_async.py` do."""
    shown = {key: value for key, value in log.logs.items() if key != "generated_samples"}
    if asynchronous:
        said = f"Global step {log.step}" if log.phase == "train" else f"Eval at step {log.step}"
        return f"INFO 11-22 20:39:19 ppo_trainer_async.py:244] {said}: {shown}"
    if log.phase == "train":
        return f"INFO 11-22 20:39:19 ppo_trainer.py:551] ✨ Global step {log.step}: {shown}"
    said = f"✨ Evaluation completed in 0:00:03, global_step {log.step}, eval_metrics: {shown}"
    return f"INFO 11-22 20:39:19 ppo_trainer.py:598] {said}"


def write_console(path: Path, logs: list[Log], *, asynchronous: bool) -> Path:
    """Write what Ray shows of a run in a terminal."""
    actor = "\x1b[36m({} pid=6325)\x1b[0m ".format("TrainingActor" if asynchronous else "PPOTrainer")
    lines = ["namespace(actor=namespace(adam=namespace(lr=0.001)))", "Episode [1/1]:   0%|    | 0/4 [00:00<?, ?it/s]"]
    lines += [actor + printed(log, asynchronous=asynchronous) for log in logs]
    path.write_text("\n".join([*lines, ""]))
    return path


def points(events: list[Event], change: Callable[[Any], Any] = lambda value: value) -> list[tuple[Any, ...]]:
    """Phase, set, step and metrics of each event, as text so that NaN is equal to NaN."""
    return [
        (each.phase, each.eval_set, each.step, repr({key: change(value) for key, value in each.metrics.items()}))
        for each in events
    ]


def single(value: Any) -> Any:
    """A number in single precision, as TensorBoard stores it."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def known(events: list[Event]) -> list[Event]:
    """The events without nulls, which OpenRLHF's loggers leave out."""
    for each in events:
        for key in [key for key, value in each.metrics.items() if value is None]:
            del each.metrics[key]
    return events


def read(path: Path) -> list[Event]:
    """The events of a source, which must be undamaged."""
    return list(OpenRLHFAdapter().events(path))


def claim(path: Path) -> Claim:
    """What the adapter says of a file."""
    with path.open("rb") as file:
        return OpenRLHFAdapter().handles(file.read(HEAD), path)


@pytest.mark.parametrize(
    ("run", "every"),
    [("ppo_sync", 2), ("rm", 1), ("dpo", 1), ("inproc", 2)],
)
def test_the_same_events_from_tensorboard(tmp_path: Path, run: str, every: int) -> None:
    """Every step that OpenRLHF's logger wrote, each `logging_steps`, is as in RLDK's log, in single precision."""
    ours = read(write_log(tmp_path, recorded(run)))
    (folder,) = (GOLDEN / run / "tb").iterdir()

    assert points(read(folder)) == points(known([each for each in ours if each.step % every == 0]), single)


@pytest.mark.parametrize(("run", "asynchronous"), [("ppo_sync", False), ("ppo_async", True), ("inproc", False)])
def test_the_same_events_from_the_console(tmp_path: Path, run: str, asynchronous: bool) -> None:  # noqa: FBT001 - a case
    """Every step and evaluation that was printed is as in RLDK's log, to the last digit."""
    logs = recorded(run)
    ours = read(write_log(tmp_path, logs))

    assert points(read(write_console(tmp_path / "job.log", logs, asynchronous=asynchronous))) == points(ours)


def test_what_a_step_of_ppo_is() -> None:
    """The events of a run have OpenRLHF's steps, and each data set of an evaluation is an event of its own."""
    reading = OpenRLHFAdapter().read(GOLDEN / "ppo_sync" / "tb" / "ppo_sync")
    items = list(reading.items)
    events = [each.event for each in items if isinstance(each, Parsed)]

    assert [(each.phase, each.eval_set, each.step) for each in events] == [
        ("train", None, 2),
        ("eval", "toy", 2),
        ("eval", None, 2),
        ("train", None, 4),
        ("eval", "toy", 4),
        ("eval", None, 4),
    ]
    assert events[1].metrics == {
        "pass1": 0.031096117570996284,
        "response_length_mean": 11.9375,
        "truncated_rate": 0.9375,
    }
    assert [each.lines for each in items if isinstance(each, Parsed)] == [28, 6, 0, 28, 6, 0]
    assert {each.why for each in items if isinstance(each, Aside)} == {
        "header, brain.Event:2",
        "text 'train/generated_samples/text_summary'",
    }
    assert (reading.axis, reading.facts["algorithm"]) == (
        ROLLOUTS,
        "dr_grpo or flash_reinforce or grpo or reinforce or reinforce_baseline or rloo",
    )


def test_a_late_evaluation_is_valid() -> None:
    """In an asynchronous run the evaluation of a step may come after later steps."""
    assert [(each.phase, each.step) for each in recorded("ppo_async")] == [
        ("train", 1),
        ("train", 2),
        ("train", 3),
        ("eval", 2),
        ("train", 4),
    ]


def test_sft_has_a_space_in_a_key() -> None:
    """`eval/eval gpt_loss` is the loss of an evaluation, at the optimizer update of its trainer."""
    reading = OpenRLHFAdapter().read(GOLDEN / "sft" / "tb" / "sft_run")
    found = [each.event for each in reading.items if isinstance(each, Parsed) and each.event.phase == "eval"]

    assert [(each.step, each.metrics) for each in found] == [
        (4, {"loss": 5.373026371002197}),
        (8, {"loss": 5.275877475738525}),
    ]
    assert (reading.axis, reading.facts["algorithm"]) == ("optimizer update", "sft")


def test_its_folders_are_claimed_for_sure() -> None:
    """The tags of each trainer are its own, so that the adapter of TensorBoard does not tie with it."""
    for folder in sorted(GOLDEN.glob("*/tb/*")):
        (path,) = folder.iterdir()
        for found in (claim(path), OpenRLHFAdapter().handles(b"", folder)):
            assert found.certainty == Certainty.SURE > TensorBoardAdapter().handles(b"", folder).certainty
    assert claim(path).why == "TensorBoard events with the tags of OpenRLHF: train/gpt_loss"


def test_its_console_is_claimed(tmp_path: Path) -> None:
    """By a step with its own keys for sure, by another step as likely, and not by a word alone."""
    path = tmp_path / "log"
    path.write_text("(PPOTrainer pid=1) ✨ Global step 1: {'policy_loss': 0.5, 'actor_lr': 1e-06}\n")
    assert claim(path) == Claim(
        Certainty.SURE, "a line Global step N: {...}, \"✨ Global step 1: {'policy_loss': 0.5, 'actor_lr': 1e-06}\""
    )
    path.write_text("Global step 1: {'loss': 0.5}\n")
    assert claim(path).certainty == Certainty.TYPICAL
    path.write_text("Global step 1 done\n")
    assert claim(path) == Claim(Certainty.NO, "no line `Global step N: {...}`")
    path.write_text("python -m openrlhf.cli.train_ppo_ray\nTraceback (most recent call last):\nValueError: no\n")
    assert claim(path) == Claim(
        Certainty.NO,
        "a console of OpenRLHF without a line `Global step N: {...}`: it failed with 'ValueError: no' (line 3)",
    )


def test_other_event_files_are_not_claimed(tmp_path: Path) -> None:
    """Tags that others write too do not tell; told to read them, the adapter takes them for OpenRLHF's."""
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(event_file(*scalars((1, "train/loss", 0.5), (1, "eval/eval_a_pass1", 0.25))))

    assert claim(path) == Claim(Certainty.NO, "the tags of its TensorBoard events are not those of OpenRLHF")
    assert [(each.phase, each.eval_set, each.metrics) for each in read(path)] == [
        ("train", None, {"loss": 0.5}),
        ("eval", "a", {"pass1": 0.25}),
    ]


def test_rldk_logs_are_read_as_such(tmp_path: Path) -> None:
    """A log of RLDK gives the events that were written, from the file and from the folder."""
    path = write_attempt(tmp_path, [make_event(1), make_event(2)])

    assert claim(path) == Claim(Certainty.GENERIC, "the first line is an RLDK event")
    assert OpenRLHFAdapter().handles(b"", tmp_path) == Claim(Certainty.GENERIC, "a folder with RLDK logs")
    assert [each.step for each in read(path)] == [1, 2]
    assert read(tmp_path) == read(path)


def items(path: Path, text: str) -> list[Item]:
    """The items of a console with this text."""
    path.write_text(text)
    return list(OpenRLHFAdapter().read(path).items)


def test_what_a_line_may_hold(tmp_path: Path) -> None:
    """NaN, infinities, the numbers of numpy and torch, None and texts with quotes are what they were."""
    text = (
        "Global step 7: {'policy_loss': nan, 'kl': -inf, 'reward': np.float64(0.5), 'score': tensor(0.25), "
        "'dynamic_filtering_pass_rate': None, 'note': \"it's\\nfine\"} (repeated 2x)\n"
    )
    (found,) = items(tmp_path / "f", text)

    assert isinstance(found, Parsed)
    assert repr(found.event.metrics) == (
        "{'policy_loss': nan, 'kl': -inf, 'reward_mean': 0.5, 'score': 0.25, 'dynamic_filtering_pass_rate': None}"
    )
    assert found.event.data_slice == {"note": "it's\nfine"}
    assert (found.event.step, found.event.wall_time, found.event.timestamp) == (7, None, None)


def test_every_line_is_accounted_for(tmp_path: Path) -> None:
    """Prose is set aside, an evaluation of two sets counts once, a damaged line is said with its place."""
    found = items(
        tmp_path / "f",
        "prose\n"
        "Global step 1: {'policy_loss': 0.5}\n"
        "Eval at step 1: {'eval_a_pass1': 0.5, 'eval_num_samples': 8.0}\n"
        "Global step two\n"
        "Global step 2: {'policy_loss': 0.5, 'kl' 0.1}\n"
        "Global step 3: {'policy_loss': 0.",
    )

    assert [each.lines for each in found] == [1, 1, 1, 0, 1, 1, 1]
    damaged, torn = [str(each.problem.error()) for each in found if isinstance(each, Bad)]
    assert damaged == "<line>:5:121: expected : in what Python prints of a dict, found '0.1}' [bad_value]"
    assert torn == (
        "<line>:6:167: expected a newline at the end of the last line, found 33 bytes without one: "
        "the file was cut short, or is still being written [torn_tail]"
    )


def test_a_console_without_steps_is_refused(tmp_path: Path) -> None:
    """A launch that failed says with what."""
    (tmp_path / "f").write_text("openrlhf\nTraceback (most recent call last):\nRuntimeError: CUDA error\n")

    with pytest.raises(
        UnknownFormatError, match=r"found a console of OpenRLHF .* 'RuntimeError: CUDA error' \(line 3\)"
    ):
        OpenRLHFAdapter().read(tmp_path / "f")


@pytest.mark.parametrize("seed", range(3))
def test_mutations_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Whatever is changed in a console, what comes is events and things that are bad, and every line counts once."""
    chance = random.Random(seed)  # noqa: S311 - changes, no secrets
    path = write_console(tmp_path / "f", recorded("ppo_sync"), asynchronous=False)
    whole = path.read_bytes()
    for _ in range(40):
        content = bytearray(whole)
        for _ in range(chance.randrange(1, 20)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        OpenRLHFAdapter().handles(bytes(content[:HEAD]), path)
        try:
            found = list(OpenRLHFAdapter().read(path).items)
        except UnknownFormatError:
            continue
        assert sum(each.lines for each in found) == content.count(b"\n") + (not content.endswith(b"\n"))
