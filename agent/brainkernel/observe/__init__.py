"""Action to Outcome: what a limit did to its target and to those who suffered."""
