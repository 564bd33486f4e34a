"""A live trainer of every version tells the callback of each step, of its evaluations, and of its end."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rldk.integrations.openrlhf import OpenRLHFCallback
from rldk.io.manifest import read_manifest
from rldk.io.reader import read_events
from rldk.io.segments import find_logs
from rldk.io.validator import validate_jsonl_file
from tests.integrations.openrlhf.conftest import STATUS, VERSIONS, Tracker, Version, rollouts, settings, strategy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rldk.io.event_schema import Event
    from rldk.io.manifest import Manifest
    from tests.integrations.openrlhf.conftest import Modules

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
STEPS = {"reward_mean": 0.25, "policy_loss": -0.5, "kl_mean": -0.001, "lr": 1e-6, "letter_share": 0.125}
"""What training logs, under the names of RLDK."""


def recorded(folder: Path) -> list[Event]:
    """The events of the one run in a folder, whose log must be valid by every rule."""
    (log,) = find_logs(folder)
    assert validate_jsonl_file(log.path, strict=True)
    return list(read_events(log.path, history="all"))


def about(folder: Path) -> Manifest:
    """What the manifest of the one run in a folder says."""
    (log,) = find_logs(folder)
    return read_manifest(log)


def attached(trainer: Any, folder: Path, **options: Any) -> OpenRLHFCallback:
    """A callback that a trainer tells of everything; errors are not kept away."""
    callback = OpenRLHFCallback(folder / "logs", on_error="raise", **options)
    callback.attach(trainer)
    return callback


@every_version
def test_every_step_of_a_training_with_rollouts(
    version: Version, modules: Callable[[str], Modules], tmp_path: Path
) -> None:
    """Each step is an event, though no tracker is in use and `logging_steps` is 2, and each data set evaluated."""
    trainer = rollouts(modules(version.shape), settings(version, tmp_path, use_wandb=""))
    attached(trainer, tmp_path)
    trainer.fit()
    found = recorded(tmp_path / "logs")

    assert [(event.phase, event.step, event.eval_set) for event in found] == [
        ("train", 1, None),
        ("train", 2, None),
        ("eval", 2, "toy"),
        ("eval", 2, "math"),
        ("train", 3, None),
        ("train", 4, None),
        ("eval", 4, "toy"),
        ("eval", 4, "math"),
    ]
    first = {name: value for name, value in found[0].metrics.items() if name != "step_seen"}
    assert first == {**STEPS, "kl_coef": 0.01}
    assert found[0].notes == ["sample: reward 0.5, a text"]
    assert found[3].metrics == {"pass1": 0.75}
    assert about(tmp_path / "logs").attempts[0].outcome == "completed"


@every_version
@pytest.mark.parametrize("kind", ["sft", "rm", "dpo"])
@pytest.mark.parametrize("tracker", ["none", "wandb", "tensorboard"])
def test_every_update_of_a_supervised_training(
    version: Version, kind: str, tracker: str, modules: Callable[[str], Modules], tmp_path: Path
) -> None:
    """Each update and each evaluation is an event, and the tracker in use is told what it always was."""
    told = Tracker()
    used = {"none": {}, "wandb": {"wandb_module": told}, "tensorboard": {"writer": told}}[tracker]
    logs = {"loss": 0.75, "loss_mean": 0.5, "lr": 1e-3, "grad_norm": 2.0}
    args = settings(version, tmp_path, status=logs, eval_data={"eval_loss": 0.25, "acc_mean": 1.0}, **used)
    module = getattr(modules(version.shape), kind)
    (make,) = (value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__)
    trainer = make(None, strategy(args))
    attached(trainer, tmp_path)
    trainer.fit(args)
    found = recorded(tmp_path / "logs")

    assert [(event.phase, event.step) for event in found] == [
        *[("train", 1), ("train", 2), ("eval", 2)],
        *[("train", 3), ("train", 4), ("eval", 4)],
    ]
    assert found[0].metrics["lr"] == 1e-3
    assert found[2].metrics["loss"] == 0.25
    assert about(tmp_path / "logs").algorithm == kind
    assert about(tmp_path / "logs").attempts[0].outcome == "completed"
    again = Tracker()
    alone = make(None, strategy(SimpleNamespace(**vars(args) | dict.fromkeys(used, again))))
    alone.fit(alone.args)
    assert told.told == again.told


@every_version
def test_the_tracker_of_a_training_with_rollouts_is_told_what_it_always_was(
    version: Version, modules: Callable[[str], Modules], tmp_path: Path
) -> None:
    """Two loggers, or a writer: what they get does not depend on the recorder."""
    found = modules(version.shape)
    told = []
    for recorder in (False, True):
        one, other = Tracker(), Tracker()
        trackers = {"wandb_logger": one, "tensorboard_logger": other, "use_tensorboard": "here", "writer": other}
        trainer = rollouts(found, settings(version, tmp_path, use_wandb="", **trackers))
        if recorder:
            attached(trainer, tmp_path)
        trainer.fit()
        told.append((one.told, other.told))

    assert told[0] == told[1]
    assert told[0][1]


@pytest.mark.parametrize("version", VERSIONS[:2], ids=lambda version: version.name)
def test_wandb_to_0_9_0(version: Version, modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """The sample is noted before OpenRLHF takes it out of the logs, and evaluations come by wandb."""
    wandb = Tracker()
    trainer = rollouts(modules(version.shape), settings(version, tmp_path, wandb=wandb, reward=Scalar(0.5)))
    attached(trainer, tmp_path)
    trainer.fit()
    found = recorded(tmp_path / "logs")

    assert [event.notes for event in found if event.phase == "train"] == [["sample: reward 0.5, a text"]] * 4
    assert [(event.step, event.eval_set, event.metrics) for event in found if event.phase == "eval"] == [
        (2, "toy", {"pass1": 0.5}),
        (2, "math", {"pass1": 0.75}),
        (4, "toy", {"pass1": 0.5}),
        (4, "math", {"pass1": 0.75}),
    ]
    assert wandb.told[-1] == "closed"


class Scalar:
    """A tensor without dimensions, as the reward of a sample is to OpenRLHF 0.9.0."""

    ndim = 0

    def __init__(self, value: float) -> None:
        self._value = value

    def item(self) -> float:
        """Its value."""
        return self._value


@pytest.mark.parametrize("version", VERSIONS[2:], ids=lambda version: version.name)
def test_async_training(version: Version, modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """The evaluation of step 2 comes after step 3 was trained: it stays what it is, and the log is valid."""
    queue = [("rollouts",)] * 3 + [("eval", 2, {"eval_toy_pass1": 0.5, "eval_num_samples": 8.0})] + [("rollouts",)]
    trainer = rollouts(modules(version.shape), settings(version, tmp_path, queue=queue), "TrainingActor")
    attached(trainer, tmp_path)
    trainer.fit()

    assert [(event.phase, event.step, event.eval_set) for event in recorded(tmp_path / "logs")] == [
        ("train", 1, None),
        ("train", 2, None),
        ("train", 3, None),
        ("eval", 2, "toy"),
        ("eval", 2, None),
        ("train", 4, None),
    ]


@pytest.mark.parametrize("version", VERSIONS[:2], ids=lambda version: version.name)
def test_the_one_that_makes_rollouts_to_0_9_0_writes_nothing(
    version: Version, modules: Callable[[str], Modules], tmp_path: Path
) -> None:
    """It is of the trainer's class, and logs nothing."""
    trainer = rollouts(modules(version.shape), settings(version, tmp_path), "GenerateSamplesActor")
    attached(trainer, tmp_path)

    assert not (tmp_path / "logs").exists()


@every_version
def test_other_ranks_write_nothing(version: Version, modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """Each process has a trainer, and only that of the first rank is recorded."""
    args = settings(version, tmp_path, status={"loss": 0.5}, eval_data={"eval_loss": 0.25})
    trainer = modules(version.shape).sft.SFTTrainer(None, strategy(args, rank=1))
    attached(trainer, tmp_path)
    trainer.fit(args)

    assert not (tmp_path / "logs").exists()


@every_version
def test_a_training_that_fails(version: Version, modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """The error reaches its caller, and the manifest says what it was, once."""
    trainer = rollouts(modules(version.shape), settings(version, tmp_path, use_wandb="", fail_at=3))
    attached(trainer, tmp_path)

    with pytest.raises(RuntimeError, match=r"\ACUDA out of memory\Z"):
        trainer.fit()
    assert [event.step for event in recorded(tmp_path / "logs") if event.phase == "train"] == [1, 2]
    (attempt,) = about(tmp_path / "logs").attempts
    assert (attempt.outcome, attempt.outcome_detail) == ("crashed", "RuntimeError: CUDA out of memory")


def test_an_error_of_another_actor_is_told_by_its_cause(modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """Ray hands on a long text; what happened is the error that it was made from."""
    trainer = rollouts(modules("new"), settings(VERSIONS[4], tmp_path))

    class RayTaskError(Exception):
        cause = ValueError("no such token")

    def fail(*_: Any) -> None:
        raise RayTaskError

    trainer.ppo_train = fail
    attached(trainer, tmp_path)

    with pytest.raises(RayTaskError):
        trainer.fit()
    assert about(tmp_path / "logs").attempts[0].outcome_detail == "ValueError: no such token"


@pytest.mark.parametrize(
    ("error", "detail"), [(KeyboardInterrupt, "Ctrl-C"), (SystemExit, "sys.exit")], ids=["ctrl_c", "sys_exit"]
)
def test_a_training_that_is_stopped(
    error: type[BaseException], detail: str, modules: Callable[[str], Modules], tmp_path: Path
) -> None:
    """It was interrupted, and did not crash."""
    trainer = rollouts(modules("new"), settings(VERSIONS[4], tmp_path))

    def stop(*_: Any) -> None:
        raise error

    trainer.ppo_train = stop
    attached(trainer, tmp_path)

    with pytest.raises(error):
        trainer.fit()
    (attempt,) = about(tmp_path / "logs").attempts
    assert (attempt.outcome, attempt.outcome_detail) == ("interrupted", detail)


@every_version
def test_a_training_is_resumed(version: Version, modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """The trainer that loads a checkpoint goes on with the run, after the step before its first."""
    found = modules(version.shape)
    first = rollouts(found, settings(version, tmp_path, use_wandb="", last_step=5))
    attached(first, tmp_path)
    first.fit()
    before = recorded(tmp_path / "logs")
    (tmp_path / "checkpoints/_actor").mkdir(parents=True)
    args = settings(version, tmp_path, use_wandb="", first_step=4, last_step=6)
    _load(args)
    second = rollouts(found, args)
    attached(second, tmp_path)
    second.fit()
    after = recorded(tmp_path / "logs")

    assert after[: len(before)] == before
    assert {(event.attempt, event.resumed_from) for event in after[len(before) :]} == {(2, 3)}
    (log,) = find_logs(tmp_path / "logs")
    assert [event.step for event in read_events(log.path) if event.phase == "train"] == [1, 2, 3, 4, 5, 6]
    assert [each.resumed_from for each in about(tmp_path / "logs").attempts] == [None, 3]


@every_version
def test_asked_to_resume_where_there_is_nothing(
    version: Version, modules: Callable[[str], Modules], tmp_path: Path
) -> None:
    """OpenRLHF begins at the beginning then, and so does a new run."""
    found = modules(version.shape)
    for _ in range(2):
        args = settings(version, tmp_path, use_wandb="")
        _load(args)
        trainer = rollouts(found, args)
        attached(trainer, tmp_path)
        trainer.fit()

    assert [log.run_id[:5] for log in find_logs(tmp_path / "logs")] == ["grpo-", "grpo-"]


def _load(args: SimpleNamespace) -> None:
    """Ask for the checkpoint to be loaded, by whichever flag there is."""
    if hasattr(args, "ckpt"):
        args.ckpt.load_enable = True
    else:
        args.load_checkpoint = True


@every_version
def test_the_key_of_wandb_is_nowhere(version: Version, modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """Neither under its flag of today nor under that of old is it written into any file."""
    trainer = rollouts(modules(version.shape), settings(version, tmp_path, wandb=Tracker()))
    attached(trainer, tmp_path)
    trainer.fit()
    content = b"".join(path.read_bytes() for path in (tmp_path / "logs").iterdir())

    assert b"wandb-key" not in content
    assert b"<redacted>" in content


@every_version
def test_what_is_known_of_the_run(version: Version, modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """Model, data, seed and batch are taken from the flags of the version, and the flags that matter kept as facts."""
    trainer = rollouts(modules(version.shape), settings(version, tmp_path, use_wandb=""))
    attached(trainer, tmp_path)
    trainer.fit()
    first = recorded(tmp_path / "logs")[0]
    (attempt,) = about(tmp_path / "logs").attempts

    assert first.rng["seed"] == 42
    assert first.model_info["model_name"] == "tiny/model"
    assert (first.model_info["framework"], first.model_info["algorithm"]) == ("openrlhf", "grpo")
    assert first.data_slice == {"batch_size": 8, "sequence_length": 48, "dataset_name": "tiny/prompts"}
    assert attempt.facts["logger.logging_steps" if version.dotted else "logging_steps"] == 2


def test_attaching_twice_is_once(modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """A trainer that the launcher has attached already may be attached by the user's script as well."""
    trainer = rollouts(modules("new"), settings(VERSIONS[4], tmp_path))
    first = attached(trainer, tmp_path)
    first.attach(trainer)
    attached(trainer, tmp_path)
    trainer.fit()

    assert [event.step for event in recorded(tmp_path / "logs") if event.phase == "train"] == [1, 2, 3, 4]


def test_one_callback_records_one_trainer(modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """A second one would mix its steps with those of the first."""
    found = modules("new")
    callback = attached(rollouts(found, settings(VERSIONS[4], tmp_path)), tmp_path)

    with pytest.raises(ValueError, match=r"\Aexpected the trainer that is attached already, found another: "):
        callback.attach(rollouts(found, settings(VERSIONS[4], tmp_path)))


def test_trained_twice(modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """Calling `fit` once more is the next attempt of the same run, from the beginning."""
    trainer = rollouts(modules("new"), settings(VERSIONS[4], tmp_path))
    callback = attached(trainer, tmp_path)
    trainer.fit()
    trainer.tensorboard_logger = callback
    trainer.fit()

    assert {event.attempt for event in recorded(tmp_path / "logs")} == {1, 2}


class Renamed:
    """A trainer whose method has other parameters now."""

    def save_logs_and_checkpoints(self, step: int, logs_dict: dict[str, Any]) -> None:
        """Save nothing."""


class Silent:
    """A trainer that has no logger."""

    def save_logs_and_checkpoints(self, global_step: int, logs_dict: dict[str, Any]) -> None:
        """Save nothing."""


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        (SimpleNamespace(), "expected SimpleNamespace to have a method save_logs_and_checkpoints, found none; "),
        (Renamed(), "Renamed.save_logs_and_checkpoints: expected the parameters global_step, logs_dict, found "),
        (Silent(), "expected Silent to have a logger, found none; "),
    ],
    ids=["no_method", "other_parameters", "no_logger"],
)
def test_a_trainer_that_has_changed(
    trainer: Any, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One message says what was expected and what was found, and that nothing is recorded."""
    callback = OpenRLHFCallback(tmp_path / "logs")
    callback.attach(trainer)

    (record,) = caplog.records
    assert record.getMessage().startswith(f"attach: UnknownTrainerError: {message}")
    assert record.getMessage().endswith("; training goes on, nothing is recorded")
    assert callback.errors == 1
    assert not (tmp_path / "logs").exists()


def test_a_trainer_that_cannot_be_recorded_trains_on(
    modules: Callable[[str], Modules], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder cannot be made: training ends well, and there is one message."""
    (tmp_path / "file").write_text("")
    tensorboard = Tracker()
    trainer = rollouts(modules("new"), settings(VERSIONS[4], tmp_path, tensorboard_logger=tensorboard))
    callback = OpenRLHFCallback(tmp_path / "file/logs")
    callback.attach(trainer)
    trainer.fit()

    assert tensorboard.told[-1] == "closed"
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().endswith("; training goes on, nothing is recorded")


def test_values_are_those_that_were_logged(modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """NaN, None and values added by a reward function are kept as they are, under sorted names."""
    logs = {"z": math.nan, "a": None, "policy_loss": -0.5, "m": 3.0}
    trainer = rollouts(modules("new"), settings(VERSIONS[4], tmp_path, status=logs))
    attached(trainer, tmp_path)
    trainer.fit()
    metrics = recorded(tmp_path / "logs")[0].metrics

    assert list(metrics) == ["a", "kl_coef", "m", "policy_loss", "z"]
    assert (metrics["a"], metrics["m"], metrics["policy_loss"]) == (None, 3.0, -0.5)
    assert math.isnan(metrics["z"] or 0)


def test_the_logs_are_left_as_they_are(modules: Callable[[str], Modules], tmp_path: Path) -> None:
    """What OpenRLHF goes on to use is not touched."""
    logs = dict(STATUS)
    trainer = rollouts(modules("new"), settings(VERSIONS[4], tmp_path))
    attached(trainer, tmp_path)
    trainer.save_logs_and_checkpoints(1, logs_dict=logs)

    assert logs == STATUS
