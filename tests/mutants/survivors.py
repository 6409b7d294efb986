"""What no test saw, with its reason: ``survivors.toml`` beside this file."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .parts import PARTS
from .trying import Result

FILE: Final = Path(__file__).with_name("survivors.toml")
NO_REASON: Final = "?"
# So begins the reason of a mutant that means what the code means, or gives the same answers at another speed: no test
# of answers can see it, and it does not count.
EQUIVALENT: Final = ("the same", "as exact")


@dataclass(frozen=True)
class Part:
    """What the file says of one part: the counts, and each survivor with its reason."""

    tried: int
    killed: int
    survivors: list[dict[str, Any]]

    @property
    def share(self) -> float:
        """Returns how many of the mutants that a test could see were seen by one."""
        equivalent = len([one for one in self.survivors if one["reason"].startswith(EQUIVALENT)])
        return self.killed / (self.tried - equivalent)

    @property
    def explained(self) -> set[tuple[str, str, str]]:
        """Returns the survivors that have a reason."""
        return {(one["file"], one["line"], one["becomes"]) for one in self.survivors if one["reason"] != NO_REASON}


def read(path: Path = FILE) -> dict[str, Part]:
    """Returns what the file says, by part."""
    if not path.exists():
        return {}
    parts = tomllib.loads(path.read_text("utf-8"))
    return {name: Part(one["tried"], one["killed"], one.get("survivors", [])) for name, one in parts.items()}


def write(name: str, result: Result, path: Path = FILE) -> None:
    """Puts a part's result into the file; a survivor that was there before keeps its reason."""
    parts = read(path)
    reasons = {
        (old["file"], old["line"], old["becomes"]): old["reason"]
        for old in (parts[name].survivors if name in parts else [])
    }
    parts[name] = Part(
        result.tried,
        result.killed,
        [
            {"file": one.file, "line": one.line, "becomes": one.becomes,
             "reason": reasons.get(one.key, NO_REASON)}
            for one in result.survivors
        ],
    )  # fmt: skip
    path.write_text("\n".join(_section(part, parts[part]) for part in PARTS if part in parts), "utf-8")


def _section(name: str, part: Part) -> str:
    lines = [f"[{name}]", f"tried = {part.tried}", f"killed = {part.killed}"]
    for survivor in part.survivors:
        # A JSON string is a TOML string, too.
        lines += ["", f"[[{name}.survivors]]", *(f"{key} = {json.dumps(value)}" for key, value in survivor.items())]
    return "\n".join([*lines, ""])
