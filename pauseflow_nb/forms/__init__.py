"""Read the form of a question once for all: what to draw, what was typed, and what does not fit."""
