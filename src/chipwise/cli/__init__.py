"""argv to api to show; no logic. One file a command, and `app` that puts them together."""

from chipwise.cli.app import main

__all__ = ["main"]
