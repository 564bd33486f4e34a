"""The server, and what `rldk watch` and `rldk tail` share with it."""
