"""Pictures and sound: the presenter, portraits, cameras; knows nothing of ffmpeg or HTTP."""
