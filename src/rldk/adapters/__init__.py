"""Read what other tools leave behind: a format in each module, and the one that finds out which it is."""
