"""Where things that can be made again are kept: exported graphs, downloads, engines.

The folder is the platform's own cache folder, or CHIPWISE_CACHE where that is set. Deleting it loses only time.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from chipwise.codec.files import storage_error


def cache_folder(name: str) -> Path:
    """The cache folder for one purpose ("export", "data", "engines"), created when absent.

    Raises:
        StorageError: when it cannot be made.
    """
    root = os.environ.get("CHIPWISE_CACHE") or platformdirs.user_cache_dir("chipwise", appauthor=False)
    folder = Path(root) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    return folder
