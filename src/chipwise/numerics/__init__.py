"""Libraries of arrays side by side: one file a library, what each is asked for, and the race.

`operations` says what is computed; `numpy`, `torch`, `jax`, `cupy` and `numba` compute it; `race` checks that they
agree, and times them in turns.
"""
