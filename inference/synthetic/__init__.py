"""A checkpoint without weights: tiny networks of the right shapes, for tests and first steps."""
