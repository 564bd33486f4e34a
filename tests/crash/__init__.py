"""Writers that are killed, starved, interrupted and forked, each in a process of its own."""
