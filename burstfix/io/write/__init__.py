"""Pictures and DNGs, with their EXIF, XMP and ICC data."""
