"""The ways to set a limit, one module each, all behind `LimitRoute`; `choice` says which one a place allows."""
