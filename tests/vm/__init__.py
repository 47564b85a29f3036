"""A Debian system under QEMU, for what only a real systemd, logind and cgroup v2 can prove.

`recipe` says what is in the image, `image` builds and caches it, `payload` packs the checkout, `machine`
boots both and brings pytest's output and status back. `inside/` are the tests; they run in the VM only.
This side uses the standard library alone: it must start before anything is installed.
"""
