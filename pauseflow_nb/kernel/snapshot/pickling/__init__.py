"""Turn variables into byte streams and back: `serialize` first, then `pickler`; `types` has the rules for each library."""
