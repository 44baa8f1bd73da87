"""Handle the form of a question: its fields, the texts typed into it, and their errors."""
