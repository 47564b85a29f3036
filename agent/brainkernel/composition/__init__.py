"""The composition root: every part is made here, once, and given what it needs. Nothing here decides anything.

`whole` puts the agent together; `senses` and `tiers` make the two groups of parts that need the most around them.
"""

from brainkernel.composition.ground import Paths
from brainkernel.composition.whole import compose

__all__ = ["Paths", "compose"]
