"""HTTP, the supervisor and the command line."""
