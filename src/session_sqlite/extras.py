"""Packages that an extra brings: imported when they are used, and named when they are not there."""

from __future__ import annotations

import importlib
from typing import Any


def load(module: str, *, extra: str) -> Any:
    """Imports a module of an optional package; an `ImportError` that names the extra if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the package is there, and something that it needs is not
        package = module.partition(".")[0]
        message = f"this needs {package}, which is not installed: pip install 'session-sqlite[{extra}]'"
        raise ModuleNotFoundError(message, name=package) from error
