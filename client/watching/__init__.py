"""A player without a screen: it follows a stream, decodes it, and knows when each is shown."""
