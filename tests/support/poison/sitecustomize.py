"""Read by every Python with this directory on its path: whoever has an engine gets a poisonable
one, and HTTP processes a classifier that can hang.

It stands here so that the product needs no door for tests.
"""

import sys

if {"serve", "engine"} & set(sys.orig_argv):
    from greengrocer.engines.registry import ENGINES

    ENGINES["fake"] = "support.poison.engine:PoisonableEngine"

if "greengrocer.cli.child" in sys.orig_argv and "http" in sys.orig_argv:
    from support.poison.worker import poison

    poison()
