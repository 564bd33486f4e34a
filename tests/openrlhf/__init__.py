"""Real trainings with an unmodified OpenRLHF, on a machine without a GPU; run by `make test-openrlhf`."""
