"""What OpenRLHF logs is told apart: steps, evaluations, and the data sets of these."""

from __future__ import annotations

from rldk.adapters.openrlhf_logs import ROLLOUTS, Entry, Trainer, read_eval, read_train, trainer_of


def test_a_step_is_logged_without_its_sample() -> None:
    """The text that PPO logs beside the metrics of a step is none of them."""
    logs = {"policy_loss": 0.5, "generated_samples": ["text", 0.5], "dynamic_filtering_pass_rate": None}

    assert read_train(logs) == Entry("train", None, {"policy_loss": 0.5, "dynamic_filtering_pass_rate": None})


def test_an_evaluation_is_taken_apart_by_its_data_sets() -> None:
    """Each data set has an entry, and what is measured on all of them has one without a name."""
    logs = {
        "eval_gsm8k_pass4": 0.75,
        "eval_gsm8k_pass1": 0.5,
        "eval_gsm8k_response_length_mean": 100.0,
        "eval_openai/my_set_pass1": 0.25,
        "eval_openai/my_set_truncated_rate": 0.0,
        "eval_response_length_mean": 90.0,
        "eval_truncated_rate": 0.0,
        "eval_num_samples": 32.0,
    }

    assert read_eval(logs) == [
        Entry("eval", "gsm8k", {"pass4": 0.75, "pass1": 0.5, "response_length_mean": 100.0}),
        Entry("eval", "openai/my_set", {"pass1": 0.25, "truncated_rate": 0.0}),
        Entry("eval", None, {"response_length_mean": 90.0, "truncated_rate": 0.0, "num_samples": 32.0}),
    ]


def test_the_other_trainers_evaluate_one_set() -> None:
    """SFT writes a space into its key, which older writers of TensorBoard made an underscore."""
    assert read_eval({"eval gpt_loss": 5.5}) == [Entry("eval", None, {"gpt_loss": 5.5})]
    assert read_eval({"eval_gpt_loss": 5.5}) == [Entry("eval", None, {"gpt_loss": 5.5})]
    assert read_eval({"eval_loss": 0.7, "acc_mean": 0.5}) == [Entry("eval", None, {"loss": 0.7, "acc_mean": 0.5})]
    assert read_eval({}) == []


def test_no_key_is_lost_with_its_prefix() -> None:
    """A key that would be there twice, or be empty, keeps its prefix."""
    assert read_eval({"loss": 1.0, "eval_loss": 2.0, "eval_": 3.0}) == [
        Entry("eval", None, {"loss": 1.0, "eval_loss": 2.0, "eval_": 3.0})
    ]


def test_trainers_are_told_by_their_keys() -> None:
    """What the keys leave open stays open, and keys that others log too tell nothing."""
    assert trainer_of(["policy_loss", "actor_lr", "critic_lr", "critic_loss"]) == Trainer(
        "ppo", ROLLOUTS, ("critic_loss", "critic_lr")
    )
    assert trainer_of(["policy_loss", "actor_lr"]) == Trainer(
        "dr_grpo or flash_reinforce or grpo or reinforce or reinforce_baseline or rloo",
        ROLLOUTS,
        ("actor_lr", "policy_loss"),
    )
    assert trainer_of(["gpt_loss", "lr"]) == Trainer("sft", "optimizer update", ("gpt_loss",))
    assert trainer_of(["gpt_loss", "distil_loss"]).algorithm == "kd"
    assert trainer_of(["kto_loss", "chosen_reward", "reject_reward"]).algorithm == "kto"
    assert trainer_of(["loss", "acc", "chosen_reward", "reject_reward"]).algorithm == "dpo or rm"
    assert trainer_of(["loss", "lr", "grad_norm"]) == Trainer("", "optimizer update", ())
    assert trainer_of(["policy_loss", "value_loss"]) == Trainer("", ROLLOUTS, ())
