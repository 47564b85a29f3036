"""The rows of the table, in groups that are measured together: one module each.

A group has `ROWS`, the names that `--only` takes, and `measure(wanted, bench)`, which yields an `Outcome` for each that is wanted.
"""
