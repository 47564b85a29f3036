"""A week of an agent's life in some minutes: the whole agent over this kernel, its clock in a hurry, and a load that never repeats.

`agent` is the process that is watched, `load` what happens around it, `growth` what of it may not grow; `scripts/soak` runs it.
"""
