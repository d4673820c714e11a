"""What a phone shows when the page is installed."""
"""The page's icons, drawn by tools/icons.py."""
