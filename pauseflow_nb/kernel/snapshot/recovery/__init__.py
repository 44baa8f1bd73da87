"""Decide what to do about variables that cannot be pickled, and make them again from the cells if possible."""
