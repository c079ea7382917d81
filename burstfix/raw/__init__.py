"""Pure tensor functions on mosaics: packing, levels, noise, hot pixels, sharpness, demosaicking."""
