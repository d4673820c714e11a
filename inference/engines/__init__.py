"""Running networks: one small protocol, and the runtimes behind it."""
