"""Every trial, in the order of the table."""

from __future__ import annotations

from typing import Final

from .histories import HISTORIES
from .leaks import LEAKS
from .no_network import NO_NETWORK
from .trials import Trial

TRIALS: Final[dict[str, Trial]] = {trial.name: trial for trial in (LEAKS, NO_NETWORK, *HISTORIES)}
