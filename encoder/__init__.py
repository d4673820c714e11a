"""ffmpeg, ISO BMFF and HLS files on tmpfs; knows nothing of HTTP or of where pictures come from."""
