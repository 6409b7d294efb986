"""Every trial, in the order of the table."""

from __future__ import annotations

from typing import Final

from . import contention, failing_writes, first_opens, forks, full_disks, kills, opens_beside_a_writer, power_cuts
from .damaged_files import DAMAGED_FILES
from .guided import GUIDED
from .histories import HISTORIES
from .hostile_input import HOSTILE_INPUT
from .leaks import LEAKS
from .no_network import NO_NETWORK
from .rendering import RENDERING
from .tenancy import TENANCY
from .trials import Trial

TRIALS: Final[dict[str, Trial]] = {
    trial.name: trial
    for trial in (
        kills.TRIAL,
        power_cuts.TRIAL,
        full_disks.TRIAL,
        failing_writes.TRIAL,
        contention.TRIAL,
        first_opens.TRIAL,
        opens_beside_a_writer.TRIAL,
        forks.TRIAL,
        LEAKS,
        NO_NETWORK,
        *HISTORIES,
        DAMAGED_FILES,
        HOSTILE_INPUT,
        GUIDED,
        RENDERING,
        *TENANCY,
    )
}
