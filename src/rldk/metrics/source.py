"""What a framework's key means: a metric, or something that merely looks like one."""

from __future__ import annotations

import msgspec

__all__ = ["Lookalike", "Source"]


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a framework logs a metric, and what exactly it computes there.

    Args:
        native: the framework's key; `<f>` stands for any name without a slash and is carried over.
        canonical: the name it is given.
        framework: the framework.
        algorithms: the algorithms for which the key has this meaning; empty for all.
        estimator: the estimator of a divergence: k1, k2 or k3 of J. Schulman, "Approximating KL divergence",
            or exact, over all that the policy could choose.
        versus: what a divergence or a ratio is measured against.
        reduction: over what the value is a mean, a sum or an extreme.
        sign: the sign it can have, where that says something.
        caveat: what one must know before comparing it.
        reference: where the framework computes it.
        versions: which versions of the framework log the key; empty for those of today.
    """

    native: str
    canonical: str
    framework: str
    algorithms: tuple[str, ...] = ()
    estimator: str = ""
    versus: str = ""
    reduction: str = ""
    sign: str = ""
    caveat: str = ""
    reference: str = ""
    versions: str = ""


class Lookalike(msgspec.Struct, frozen=True):
    """A key that looks like a metric and is something else. It keeps its own name.

    Args:
        native: the framework's key.
        framework: the framework.
        resembles: the canonical name that it must not be given.
        why: what it is instead.
        algorithms: the algorithms for which this is so; empty for all.
    """

    native: str
    framework: str
    resembles: str
    why: str
    algorithms: tuple[str, ...] = ()
