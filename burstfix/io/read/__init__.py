"""Raw decoding, DNG tags and metadata."""
