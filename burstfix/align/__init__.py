"""Pure tensor functions that estimate the motion of frames and gather aligned blocks."""
