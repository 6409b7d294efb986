"""Trials of what must never happen: an acknowledged event is lost, a damaged answer is given, a user sees another's.

``python -m tests.faults`` runs every trial at its full length (up to two hours) and writes the table "What has been
tried" in the README; ``--only NAME`` runs some, ``--share 0.1`` a tenth of each. The same trials run as tests, short
in every run and longer with ``pytest -m faults``. `trials` says what a trial is, `every` lists them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the servers of the tests are a module of their folder
