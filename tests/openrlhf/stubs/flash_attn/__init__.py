"""Stands in for flash_attn, which needs a GPU: it can be imported, and nothing more."""

__version__ = "0.0.0"
