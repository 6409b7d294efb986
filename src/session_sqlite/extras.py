"""Packages of the optional extras, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any


def load(module: str, *, extra: str) -> Any:
    """Imports a module of an optional package. Raises `ModuleNotFoundError` that names the extra to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the package itself is installed, and something that it needs is missing
        package = module.partition(".")[0]
        message = f"this needs {package}, which is not installed: pip install 'session-sqlite[{extra}]'"
        raise ModuleNotFoundError(message, name=package) from error
