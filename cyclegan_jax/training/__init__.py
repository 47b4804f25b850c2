"""One run: the loop, what it compiles, what it writes, and what can go wrong."""
