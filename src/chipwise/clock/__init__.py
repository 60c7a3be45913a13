"""The clock: times callables side by side, says what the numbers are worth, and measures what a machine can do.

It knows no runtime: whoever calls hands over callables. Modules: `interleave`, `statistics`; `peaks` (a roofline
in half a second); `sustained`, `arithmetic`, `streams` (what `doctor --measure` takes its time for).
"""
