"""Save and restore what cells change besides variables: options, handlers, generators, the process."""
