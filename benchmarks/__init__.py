"""What writing, logging and checking cost, as ratios measured in one run: `python -m benchmarks`."""
