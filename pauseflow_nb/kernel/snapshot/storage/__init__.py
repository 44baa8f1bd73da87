"""Write pickled variables into files, and map them back: manifest, pack files, raw memory."""
