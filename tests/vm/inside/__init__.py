"""Tests that run inside the VM, as root, on a systemd host of their own. The support modules are beside them."""
