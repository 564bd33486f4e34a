"""Tests of the recorders for trainers."""
