"""The page's icons, drawn by tools/icons.py."""
