"""Apply a model to a picture of any size: tiling, tiled inference, devices and memory."""
