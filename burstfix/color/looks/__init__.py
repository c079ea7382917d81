"""The looks that ship, as TOML files."""
