"""Read by every Python with this directory on its path: HTTP processes get a classifier that can
hang.

It stands here so that the product needs no door for tests.
"""

import sys

if "greengrocer.cli.child" in sys.orig_argv and "http" in sys.orig_argv:
    from support.poison.worker import poison

    poison()
