"""The Ditto talking head: a photo or a video, and what is said, become pictures that say it.

Pure stages over arrays, with frozen dataclasses between them; networks are handed in.
"""
