"""The programs of deploy/ in front of a real stream."""
