"""What a phone shows when the page is installed."""
