"""Tests of RLDK."""
