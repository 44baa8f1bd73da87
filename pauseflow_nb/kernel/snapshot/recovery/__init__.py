"""Decide what becomes of a variable that cannot be pickled, and make it again from the cells if that is possible."""
