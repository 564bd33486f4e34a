"""Recorders for trainers, a folder for each; importing one loads its trainer's libraries."""
