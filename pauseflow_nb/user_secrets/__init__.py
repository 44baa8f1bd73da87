"""Secrets that notebooks use by name: where their values come from, how they are masked, and how a text refers to one."""
