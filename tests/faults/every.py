"""Every trial, in the order of the table."""

from __future__ import annotations

from typing import Final

from . import failing_writes, kills, power_cuts
from .damaged_files import DAMAGED_FILES
from .histories import HISTORIES
from .leaks import LEAKS
from .no_network import NO_NETWORK
from .tenancy import TENANCY
from .trials import Trial

TRIALS: Final[dict[str, Trial]] = {
    trial.name: trial
    for trial in (
        kills.TRIAL,
        power_cuts.TRIAL,
        failing_writes.TRIAL,
        LEAKS,
        NO_NETWORK,
        *HISTORIES,
        DAMAGED_FILES,
        *TENANCY,
    )
}
