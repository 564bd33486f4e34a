"""Tests of what is derived from events."""
