"""Tests of the callback for TRL and transformers, on real trainings."""
