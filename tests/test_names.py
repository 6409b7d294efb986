"""The README's tables of the command line say what is: every verb by its names, every exit code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from session_sqlite import Session, SQLiteSessionService
from session_sqlite.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
# Names that are no verbs: what a thing is, and not what it does.
FIELDS_OF_SERVICE = {"app_name", "user_id", "closed", "close"}
FIELDS_OF_SESSION = {*Session.__dataclass_fields__, "to_dict"}


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    (found,) = re.findall(rf"^## {heading}$.*?\n((?:\|[^\n]*\n)+)", README, re.MULTILINE | re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]
    return rows[2:]


def names_in(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)[^`]*`", cell))


def test_the_table_of_names_has_every_verb_of_the_service_of_a_session_and_of_the_command_line() -> None:
    rows = table("Names")
    service, session, commands = ({name for row in rows for name in names_in(row[column])} for column in (1, 2, 3))
    assert service == {name for name in dir(SQLiteSessionService) if name[0] != "_"} - FIELDS_OF_SERVICE
    assert session == {name for name in dir(Session) if name[0] != "_"} - FIELDS_OF_SESSION
    assert commands == set(main.commands)


def test_an_option_in_the_table_of_names_is_one_of_its_command() -> None:
    for row in table("Names"):
        for words in re.findall(r"`([^`]*--[^`]*)`", row[3]):
            command, _, option = words.rpartition(" ")
            of = main.commands[command] if command else main
            assert option in {one for param in of.params for one in param.opts}, words


def test_every_command_line_of_the_readme_is_one() -> None:
    blocks = "".join(re.findall(r"^```(?:bash|console)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^(?:\$ |eval \"\$\()?(session-sqlite .*?)(?:\)\")?(?: {2,}#.*)?$", blocks, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        words = shlex.split(line.split("<")[0])[1:]
        place = next(place for place, word in enumerate(words) if word in main.commands)
        try:
            with main.make_context("session-sqlite", [*words[:place], "path"]) as context:
                main.commands[words[place]].make_context(words[place], words[place + 1 :], parent=context)
        except click.exceptions.Exit:  # --help
            pass
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.message}")
