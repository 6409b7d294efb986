"""How fast the store is, beside the least that the same work could cost.

``python -m tests.benchmarks`` runs all cases; ``--quick`` with small sizes, ``--only NAME`` one group. `side_by_side`
measures other libraries on the same events too, each in a process of its own; `cases` has the others. Each of these
runs ours and a *floor* in the same process, in random order, round by round, with the same settings of the garbage
collector, and compares the medians. The floor is the same work written by hand in raw `sqlite3` (`by_hand`), on a
file that our own release made: the same tables, columns, indexes and durability. Numbers are printed and never
asserted: a target that is missed is marked, and the exit code is 0.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the servers of the tests are a module of their folder
