"""The what-if page: on loopback, for the browser of whoever started it."""
