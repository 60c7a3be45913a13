"""Tests of costs; a package, since files of these names stand elsewhere, too."""
