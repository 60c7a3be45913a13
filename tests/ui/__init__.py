"""Tests of the what-if page; a package, since files of these names stand elsewhere, too."""
