"""Tests of training; a package so that they can share `tiny`."""
