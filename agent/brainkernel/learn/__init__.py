"""Outcome to Lesson: what is remembered for the next decision."""
