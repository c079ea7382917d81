"""Run a model over a picture of any size: tiling, tiled inference, devices and memory."""
