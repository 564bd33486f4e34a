"""`python -m rldk`, the same as `rldk`."""

from rldk.cli import main

main()
