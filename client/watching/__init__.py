"""A player without a screen: it follows a stream, decodes it, and keeps the time of each picture."""
