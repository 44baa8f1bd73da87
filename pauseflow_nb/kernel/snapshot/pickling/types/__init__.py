"""Define how values of each kind are pickled: one module for each library or family of types."""
