"""Keys that look like a metric and are something else: they are never renamed."""

from __future__ import annotations

from functools import partial
from typing import Final

from rldk.metrics.source import Lookalike

__all__ = ["LOOKALIKES"]

_trl = partial(Lookalike, framework="trl")
_swift = partial(Lookalike, framework="ms_swift")
_openrlhf = partial(Lookalike, framework="openrlhf")
_verl = partial(Lookalike, framework="verl")
_nemo = partial(Lookalike, framework="nemo_rl")
_prime = partial(Lookalike, framework="prime_rl")
_areal = partial(Lookalike, framework="areal")
_slime = partial(Lookalike, framework="slime")
_open_instruct = partial(Lookalike, framework="open_instruct")
_tinker = partial(Lookalike, framework="tinker")
_sb3 = partial(Lookalike, framework="sb3")
_baselines = partial(Lookalike, framework="baselines")
_rllib = partial(Lookalike, framework="rllib")

_SEQUENCE_KL: Final = "summed over a response, so 5 to 20 is healthy where it would be a disaster per token"
_SEQUENCE_ENTROPY: Final = "of the sampled tokens, and summed over a response, so it grows with the length"
_KTO: Final = "KTO's reference point, estimated from mismatched pairs and cut at 0; it measures no drift"
_JUDGE: Final = "scores of a judge or reward model, where DPO has implicit rewards"
_IMPLICIT: Final = "DPO's name for an implicit reward; it may also be a reward function of that name"
_ZERO: Final = "constantly 0, there is no critic"
_NUMBERED: Final = "the estimators were numbered anew: kl2_avg was k2 and is k3"
_PROMPTS: Final = "share of prompts, not of responses, as long as the longest possible"
_EPSILON: Final = "the clip range itself, a setting"

LOOKALIKES: Final[tuple[Lookalike, ...]] = (
    _trl("objective/kl", resembles="kl_mean", why=_SEQUENCE_KL),
    _trl("kl", resembles="kl_mean", why=_KTO, algorithms=("kto",)),
    _trl(
        "policy/approxkl_avg",
        resembles="kl_old",
        why="over whole responses, not per token",
        algorithms=("rloo",),
    ),
    _trl("objective/entropy", resembles="entropy_mean", why=_SEQUENCE_ENTROPY),
    _trl("rewards/chosen", resembles="reward_component/<f>", why=_IMPLICIT, algorithms=("grpo",)),
    _trl("rewards/rejected", resembles="reward_component/<f>", why=_IMPLICIT, algorithms=("grpo",)),
    _trl("rewards/margins", resembles="reward_component/<f>", why=_IMPLICIT, algorithms=("grpo",)),
    _trl("rewards/accuracies", resembles="reward_component/<f>", why=_IMPLICIT, algorithms=("grpo",)),
    _trl("rewards/chosen", resembles="reward_chosen", why=_JUDGE, algorithms=("nashmd",)),
    _trl("rewards/rejected", resembles="reward_rejected", why=_JUDGE, algorithms=("nashmd",)),
    _trl("rewards/margins", resembles="margin", why=_JUDGE, algorithms=("nashmd",)),
    _trl("rewards/accuracies", resembles="accuracy", why=_JUDGE, algorithms=("nashmd",)),
    _trl("mean_reward", resembles="reward_mean", why="of the model in training, over chosen and rejected answers"),
    _trl("mean_token_accuracy", resembles="accuracy", why="share of tokens, not of pairs"),
    _trl("val/clipfrac_avg", resembles="value_clip_frac", why=_ZERO, algorithms=("rloo",)),
    _trl("loss/value_avg", resembles="value_loss", why=_ZERO, algorithms=("rloo",)),
    _trl("val/num_eos_tokens", resembles="truncation_rate", why="a count of ends, the complement and no share"),
    _trl("completions/mean_terminated_length", resembles="response_len_mean", why="without truncated responses"),
    _swift("acc", resembles="accuracy", why="share of tokens or of whole answers, not of pairs"),
    _swift("token_acc", resembles="accuracy", why="share of tokens, not of pairs"),
    _swift("train_speed(iter/s)", resembles="step_time", why="its inverse, steps in a second"),
    _openrlhf("kl", resembles="kl_mean", why=_KTO, algorithms=("kto",)),
    _openrlhf("return", resembles="reward_shaped_mean", why="less the baseline where there is one, so about 0"),
    _openrlhf(
        "response_clip_ratio",
        resembles="truncation_rate",
        why="to 0.9.0 of responses, since then of prompt and response as long as the longest possible",
    ),
    _openrlhf("total_length", resembles="response_len_mean", why="with the prompt"),
    _openrlhf(
        "loss_mean", resembles="loss", why="of the language model alone, without distillation", algorithms=("kd",)
    ),
    _openrlhf("acc", resembles="accuracy", why="of the labels of steps, not of pairs", algorithms=("prm",)),
    _openrlhf("acc_mean", resembles="accuracy", why="of the labels of steps, not of pairs", algorithms=("prm",)),
    _openrlhf("logprobs_diff", resembles="kl_mean", why="k1 whatever the estimator of kl is"),
    _openrlhf("dynamic_filtering_pass_rate", resembles="frac_zero_std_groups", why="the complement, in percent"),
    _verl("actor/lr(1e-4)", resembles="lr", why="in units of 1e-4"),
    _verl("actor/pg_clipfrac_lower", resembles="clip_frac", why="the second bound of dual clip alone"),
    _verl("prompt_length/clip_ratio", resembles="truncation_rate", why=_PROMPTS),
    _verl("response_length_non_aborted/mean", resembles="response_len_mean", why="without empty responses"),
    _verl(
        "training/rollout_probs_diff_mean", resembles="mismatch_logp_mean", why="of probabilities, not of their logs"
    ),
    _verl("global_seqlen/mean", resembles="tokens_step", why="of one rank"),
    _nemo("policy_kl_error", resembles="kl_mismatch", why="the other way round, from the trainer to the engine"),
    _nemo("token_mult_prob_error", resembles="kl_mismatch", why="a factor: 1 is good, not 0"),
    _nemo("js_divergence_error", resembles="kl_mismatch", why="a Jensen-Shannon divergence"),
    _nemo("natural_termination_rate", resembles="truncation_rate", why="the complement"),
    _nemo("baseline_reward/pct_0", resembles="frac_all_bad_groups", why="in percent, and of baselines"),
    _nemo("baseline_reward/pct_1", resembles="frac_all_good_groups", why="in percent, and of baselines"),
    _nemo("mean_total_tokens_per_sample", resembles="response_len_mean", why="with what the environment says"),
    _prime("seq_len/all/mean", resembles="response_len_mean", why="with the prompt"),
    _areal("approx_kl/avg", resembles="kl_old", why="new minus old, the opposite sign of k1"),
    _areal("behave_approx_kl/avg", resembles="kl_mismatch", why="trainer minus engine, the opposite sign of k1"),
    _areal("final_reward/avg", resembles="reward_shaped_mean", why="mean over tokens, not over responses"),
    _areal("no_eos_ratios/avg", resembles="truncation_rate", why="counts the longest response also when it ended"),
    _areal("seq_len/avg", resembles="response_len_mean", why="with the prompt"),
    _areal("seqlen/avg", resembles="response_len_mean", why="with the prompt"),
    _areal("dual_clip_ratio/avg", resembles="clip_frac", why="the second bound of dual clip alone"),
    _areal("eps_clip", resembles="clip_frac", why=_EPSILON),
    _slime("rollout/rewards", resembles="reward_mean", why="after group normalisation"),
    _slime("tis_clipfrac", resembles="clip_frac", why="of the correction for the inference engine"),
    _open_instruct("objective/kl1_avg", resembles="kl_mean", why=_NUMBERED),
    _open_instruct("objective/kl2_avg", resembles="kl_mean", why=_NUMBERED),
    _open_instruct("objective/kl3_avg", resembles="kl_mean", why=_NUMBERED),
    _open_instruct("objective/kl4_avg", resembles="kl_mean", why=_NUMBERED),
    _open_instruct("loss/kl_avg", resembles="kl_mean", why="times its coefficient"),
    _open_instruct("val/stop_rate", resembles="truncation_rate", why="the complement"),
    _open_instruct("scores", resembles="reward_mean", why="all rewards, those for the format among them"),
    _tinker("env/all/by_group/frac_mixed", resembles="frac_zero_std_groups", why="the complement"),
    _tinker("env/all/ac_tokens_per_turn", resembles="response_len_mean", why="of a turn"),
    _sb3("train/entropy_loss", resembles="entropy_mean", why="minus the entropy"),
    _sb3("train/clip_range", resembles="clip_frac", why=_EPSILON),
    _baselines("loss_pol_entpen", resembles="entropy_mean", why="minus the entropy, times its coefficient"),
    _rllib("learners/default_policy/curr_kl_coeff", resembles="kl_coef", why="against the old policy"),
    _rllib("info/learner/default_policy/learner_stats/cur_kl_coeff", resembles="kl_coef", why="against the old policy"),
)
"""Every such key that is known."""
