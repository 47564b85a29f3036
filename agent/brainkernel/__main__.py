"""`python -m brainkernel` is the `brainkernel` command."""

from __future__ import annotations

import sys

from brainkernel.cli import main

if __name__ == "__main__":
    sys.exit(main())
