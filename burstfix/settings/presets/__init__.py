"""The shipped presets, as TOML files."""
