"""Properties that hold for every event, and for every line."""
