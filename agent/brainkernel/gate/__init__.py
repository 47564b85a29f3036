"""ProcessEvent to Suspect, or None: is this new, or unlike itself? Pure over a baseline."""
