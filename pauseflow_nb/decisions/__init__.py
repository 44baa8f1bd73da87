"""Decision records: signed statements of who decided what, about exactly which outputs of a notebook."""
