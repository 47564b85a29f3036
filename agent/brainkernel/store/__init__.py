"""What is kept on disk: decisions, outcomes, baselines, cached verdicts. SQLite."""
