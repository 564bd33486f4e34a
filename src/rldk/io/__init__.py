"""The files of a run: events, how they are encoded, written, read and checked."""
