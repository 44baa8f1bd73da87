"""Handle secrets that notebooks use by name: read their values, mask them, and refer to them in texts."""
