"""Pure tensor functions that find how frames moved and gather aligned blocks."""
