"""The benchmark: what the agent costs and how fast it is, beside its peers and in the same run.

`rows/` has a module for each group of figures, `contenders/` one for each program that is measured; `outcome` judges and
`table` shows. Run it by `./scripts/bench`.
"""
