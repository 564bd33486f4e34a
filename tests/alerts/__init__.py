"""Tests of `rldk.alerts`."""
