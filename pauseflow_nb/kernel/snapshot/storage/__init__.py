"""Store pickled variables and raw memory in files, and map them into memory: manifests and packs."""
