"""The zoo's table of contents, one module a group of families; light: no torch is imported here."""
