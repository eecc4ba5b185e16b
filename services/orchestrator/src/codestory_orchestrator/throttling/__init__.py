"""How much runs at once: tokens, concurrency and resource tags; who holds them, and what is live."""
