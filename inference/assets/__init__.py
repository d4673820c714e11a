"""Files that the built-in presenter needs; see SOURCES.md beside this one."""
