"""Delivery of alerts: channels, a durable outbox, and the couriers that empty it."""
