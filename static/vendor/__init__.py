"""Third-party files, unmodified; each with its licence and checksum."""
