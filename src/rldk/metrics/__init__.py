"""The vocabulary: what a metric's name means, and which framework's key means the same.

A key is given a canonical name only where framework and key fix its meaning; every other key stays as it is.
Two quantities that merely share a name, as the `kl` of GRPO and of KTO do, are kept apart. What each source
computes is written down beside the mapping (`Source`), goes into the manifest of a run, and must agree before
two runs may be compared.

    vocabulary        the canonical names
    source            what is said of a framework's key
    wording           what is said of the keys of several frameworks in the same words
    hugging_face      the keys of transformers and of what is built on it
    openrlhf          the keys of OpenRLHF
    verl              the keys of verl
    nemo_rl           the keys of NeMo RL
    language_models   the keys of other trainers of language models
    control           the keys of trainers of agents
    lookalikes        the keys that are never renamed
    translate         the renaming
"""

from __future__ import annotations

from rldk.metrics.lookalikes import LOOKALIKES
from rldk.metrics.source import Lookalike, Source
from rldk.metrics.translate import SOURCES, Translator
from rldk.metrics.vocabulary import METRICS, Metric

__all__ = ["LOOKALIKES", "METRICS", "SOURCES", "Lookalike", "Metric", "Source", "Translator"]
