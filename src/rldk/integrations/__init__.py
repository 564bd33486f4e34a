"""Recorders for trainers, a folder for each; the callback in it is loaded with its trainer's libraries."""
