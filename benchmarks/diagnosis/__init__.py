"""How well runs are diagnosed: synthetic runs with known faults, and healthy ones, beside another tool."""
