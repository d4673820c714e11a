"""A checkpoint of Ditto: its files, its configuration, what its networks take and give."""
