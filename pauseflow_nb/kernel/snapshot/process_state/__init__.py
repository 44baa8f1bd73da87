"""Save and restore what cells change besides their variables: options, handlers, generators, the process."""
