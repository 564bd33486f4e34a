"""A package, as in flash_attn."""
