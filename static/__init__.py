"""The player page: plain files, served as they are."""
