"""Analysis of a burst: reference, motion, sharpness, noise, hot pixels."""
