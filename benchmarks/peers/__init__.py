"""RLDK beside other loggers, what they cost and what they keep: `python -m benchmarks.peers`."""
