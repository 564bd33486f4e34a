"""A package, as in vLLM."""
