"""Our own figures over time: each second collected, looked at for what is unlike itself, followed, and kept."""
