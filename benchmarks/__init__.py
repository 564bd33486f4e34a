"""What writing, logging, checking and ingesting cost, as ratios measured in one run: `python -m benchmarks`."""
