"""Kernel to ProcessEvent: the loaders, the records they decode, snapshots of all tasks, pressure."""
