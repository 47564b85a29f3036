"""The programs that are measured: one module each. What is not installed says so and is skipped."""
