"""Real runs of other people, with what is known of each; they lie beside the checkout and are no part of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rldk.ingest.diagnosis import diagnose

if TYPE_CHECKING:
    from rldk.alerts import Verdict

__all__ = ["BROKEN", "HEALTHY", "REAL", "serious", "verdict_on"]

REAL: Final = Path(os.environ.get("RLDK_SHARED") or Path(__file__).resolve().parents[3] / "shared") / "data" / "real"
"""The folder that they are in."""

HEALTHY: Final = (
    "trl/IMJONEZZ__UnslothGRPO/outputs/checkpoint-250/trainer_state.json",
    "trl/abdo-ashraf__Gemma-3-RL-Finetuning/outputs/checkpoint-250/trainer_state.json",
    "trl/ccccai239__llama2-7b-miniguanaco-dpo/dpo_model/trainer_state.json",
    "trl/iiicellled__Clean-Code-Qwen/dpo.log",
    "verl/volcengine__verl/log/tensorboard/my_DAPO/DAPO-Qwen2-7B-Test",
    "nemo-rl/NVIDIA-NeMo__RL/tests/test_suites/llm/dpo-nanov3-30B3AB-2n8g-fsdp2-cpuoffload/metrics.json",
    "sb3/DLR-RM__stable-baselines3/data/tb/A2C_11",
    "tinker/sushantmehta-code__tinker-cookbook/logs_v2p3/metrics.jsonl",
    "ms-swift/TangBinghao__swift/logging@1f950c13.jsonl",
    "dreamer/danijar__dreamerv3/ablation_results/metrics.jsonl",
    "openrlhf/ZetangForward__MyRLHF/checkpoint/tensorboard/llama3.1-8b-sft/tensorboard/sft_1023T01-41",
    "baselines/morikatron__GAIL_PPO/sample_result/ppo/progress.csv",
    "custom-jsonl/gongghao__openpi/train_log.jsonl",
)
"""Runs that went well, as far as their authors and their curves tell."""

BROKEN: Final[dict[str, tuple[str, ...]]] = {
    "nemo-rl/NVIDIA-NeMo__RL/tests/test_suites/llm/grpo-qwen2.5-7b-2n8g-megatron-sglang-noncolo-nccl/metrics.json": (
        "prob_mismatch",
        "reward_constant",
    ),
    "trl/MAOJIASONG__TinyZero-TRL/examples/qwen-r1-aha-moment/runs": ("component_constant",),
    "custom-jsonl/jorahn__rookworld-rlvr/logs/training_history.jsonl": ("duplicates", "restart_loop"),
    "custom-jsonl/aaronwins356__RL-Bot/logs/training.jsonl": ("duplicates",),
    "broken/hiyouga__LLaMA-Factory/wandb/run-20240416_154045-shmrcbfs": ("non_finite",),
}
"""Runs that went wrong, or whose log did, and what has to be said of each."""


def verdict_on(path: Path) -> Verdict:
    """The verdict on the one run in a place."""
    (verdict,) = diagnose(path)
    return verdict


def serious(verdict: Verdict) -> dict[str, str]:
    """The rules that say something worse than an information, and how bad it is."""
    firing = [alert for alert in verdict.alerts if alert.state == "firing" and alert.severity != "info"]
    return {alert.rule: alert.severity for alert in reversed(firing)}
