"""A recorded week through the whole agent on a simulated clock, to see whether it measures the truth, adapts, learns, and goes back."""
