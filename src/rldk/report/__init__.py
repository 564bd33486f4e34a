"""What a finished, or broken off, run amounts to: its derived files and what is printed of them."""
