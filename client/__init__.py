"""A client that distrusts: it follows a live HLS stream and says which rules it breaks."""
