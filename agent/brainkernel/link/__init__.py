"""The wire between our own processes: frames and the messages in them. No policy, no state of the agent."""
