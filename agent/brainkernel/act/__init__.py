"""Decision to Action and back: routes, cgroup v2, the ledger. The only stage that writes limits."""
