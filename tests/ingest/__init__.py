"""Tests of reading logs into events and tables."""
