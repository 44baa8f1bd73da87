"""Read the form of a question in one place: its fields, the texts typed into it, and their errors."""
