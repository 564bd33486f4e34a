"""How hard Hypothesis looks: the same examples every time, and few enough for every day.

`HYPOTHESIS_PROFILE=hunt` looks at new examples, and at many more of them.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "daily", derandomize=True, deadline=None, database=None, max_examples=200, suppress_health_check=slow
)
settings.register_profile("hunt", deadline=None, max_examples=5_000, suppress_health_check=slow)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "daily"))
