"""A reward function as OpenRLHF takes it, with two values of its own to log."""

import torch


def reward_func(queries, prompts, labels, **_):
    """The share of letters that the model has seen in training."""
    answers = [query[len(prompt) :] for query, prompt in zip(queries, prompts, strict=True)]
    shares = torch.tensor([sum(letter in "abcdefgh" for letter in each) / max(1, len(each)) for each in answers])
    return {
        "rewards": shares,
        "scores": (shares > 0).float(),
        "extra_logs": {"letter_share": shares, "one": torch.ones(len(answers))},
    }
