"""BrainKernel: sees what starts and who suffers, finds out what it is, slows it down reversibly, and learns."""

__version__ = "0.1.0"
