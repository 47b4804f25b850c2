"""Simulates heads, the default data, and gives what is known of them."""
