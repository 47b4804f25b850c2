"""The simulated heads: the default data, and what is known of them."""
