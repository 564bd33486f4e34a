"""The calls users write, for the type checker to judge."""
