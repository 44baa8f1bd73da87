"""Make and verify decision records: signed statements of who decided what, about exactly which outputs."""
