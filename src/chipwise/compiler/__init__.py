"""Candidates, measured, guarded, written as a plan; and what is done with a plan: load, run, check, bench."""
