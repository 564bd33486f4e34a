"""Synthetic runs as events, and as the records that another tool reads."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.diagnosis.faults import FAULTS, NULL, Fault
from benchmarks.diagnosis.healthy import HEALTHY, Curves
from rldk.io.event_schema import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Run", "faulty_runs", "healthy_runs"]

LENGTHS: Final = (150, 400, 1000, 2000)
NOISES: Final = (0.5, 1.0, 2.0)

ALGORITHMS: Final = {"agent": "ppo", "dpo": "dpo", "grpo": "grpo", "ppo": "ppo", "sft": "sft"}

_NATIVE: Final = {
    "reward_mean": "reward",
    "frac_zero_std_groups": "frac_reward_zero_std",
    "reward_component/correctness": "rewards/correctness/mean",
    "reward_component/format": "rewards/format/mean",
    "entropy_mean": "entropy",
    "kl_mean": "kl",
    "clip_frac": "clip_ratio/region_mean",
    "response_len_mean": "completions/mean_length",
    "truncation_rate": "completions/clipped_ratio",
    "lr": "learning_rate",
    "value_loss": "critic/vf_loss",
    "explained_variance": "critic/vf_explained_var",
}
"""The names that TRL and verl have for them."""


class Run(NamedTuple):
    """A synthetic run."""

    name: str
    algorithm: str
    steps: int
    curves: Curves
    fault: Fault | None
    onset: int

    def events(self) -> Iterator[Event]:
        """Its events."""
        info: dict[str, Any] = {"run_id": self.name, "phase": "train", "algorithm": self.algorithm}
        for step in range(self.steps):
            metrics = {name: _null(values[step]) for name, values in self.curves.items() if values[step] is not None}
            yield Event(
                step=step, wall_time=10.0 * step, metrics=metrics, rng={}, data_slice={}, model_info=info, notes=[]
            )

    def records(self) -> Iterator[dict[str, Any]]:
        """The same as lines of a JSON log with the names of TRL and verl."""
        for step in range(self.steps):
            found = {
                _NATIVE.get(name, name): _null(values[step])
                for name, values in self.curves.items()
                if values[step] is not None
            }
            yield {"step": step, **found}


def _null(value: Any) -> Any:
    return None if value == NULL else value


def healthy_runs(seeds: int) -> Iterator[Run]:
    """Healthy runs of every kind, length and noise, so many of each."""
    for base, make in HEALTHY.items():
        for steps in LENGTHS:
            for noise in NOISES:
                for seed in range(seeds):
                    random = Random(f"healthy {base} {steps} {noise} {seed}")  # noqa: S311 - figures, not secrets
                    name = f"healthy-{base}-{steps}-{noise}-{seed}"
                    yield Run(name, ALGORITHMS[base], steps, make(random, steps, noise), None, steps)


def faulty_runs(seeds: int) -> Iterator[Run]:
    """Runs with each fault, of every length and noise, so many of each; each begins somewhere in the first half."""
    for number, fault in enumerate(FAULTS):
        for steps in LENGTHS:
            for noise in NOISES:
                for seed in range(seeds):
                    random = Random(f"{fault.name} {steps} {noise} {seed}")  # noqa: S311 - figures, not secrets
                    curves = HEALTHY[fault.base](random, steps, noise)
                    share = random.uniform(0.2, 0.5) if fault.begins is None else fault.begins
                    onset = int(steps * share)
                    fault.put(curves, onset, random)
                    name = f"fault{number}-{steps}-{noise}-{seed}"
                    yield Run(name, ALGORITHMS[fault.base], steps, curves, fault, onset)
