"""``python -m greengrocer``."""

import sys

from greengrocer.cli.main import main

sys.exit(main())
