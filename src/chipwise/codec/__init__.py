"""Bytes in, bytes out: hashes, atomic files, the cache folder, JSON records, and the plan file."""
