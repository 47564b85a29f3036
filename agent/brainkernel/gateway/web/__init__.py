"""The gateway's HTTP server: figures for Prometheus and the dashboard for people."""
