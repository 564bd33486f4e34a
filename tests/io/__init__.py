"""Tests of the event, and of reading and writing it."""
