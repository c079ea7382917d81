"""The shipped looks, as TOML files."""
