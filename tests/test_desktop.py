"""The example with a window, on a screen that nobody sees (Xvfb)."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "desktop_chat.py"

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("_tkinter") is None, reason="this Python was built without Tk (apt: python3-tk)"
    ),
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="there is no Xvfb to show a window on (apt: xvfb)"),
]

USED_BY_A_PERSON = """
import runpy, sys, time
from session_sqlite import SQLiteSessionService

example, path = sys.argv[1:]
ChatWindow = runpy.run_path(example)["ChatWindow"]

def until(window, condition):
    deadline = time.monotonic() + 20
    while not condition():
        window.update()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)

def text(window):
    return window.text.get("1.0", "end").strip()

with SQLiteSessionService(path, app_name="desktop-example") as service:
    window = ChatWindow(service)
    for said in ("你好，窗口", "once more"):
        window.draft.set(said)
        window.say()
        until(window, lambda: f"You said: {said}" in text(window))
    assert text(window).count("user:") == 2
    window.new()
    assert text(window) == ""
    window.draft.set("something else")
    window.say()
    until(window, lambda: len(window.list.get_children()) == 2)

    def listed():
        return [window.list.item(id, "text") for id in window.list.get_children()]

    for typed, shown in (
        ("s", ["something else"]), ("so", ["something else"]), ("som x", []), ("onc", ["你好，窗口"]),
        ("窗", ["你好，窗口"]), ("", ["something else", "你好，窗口"]), ("else sai", ["something else"]),
        ("你好 mor", ["你好，窗口"]),
    ):
        window.query.set(typed)
        assert listed() == shown, (typed, listed())
    window.query.set("窗口")
    (found,) = window.list.get_children()
    window.list.selection_set(found)
    until(window, lambda: "once more" in text(window))
    window.destroy()

with SQLiteSessionService(path, app_name="desktop-example") as service:
    window = ChatWindow(service)
    assert [window.list.item(id, "text") for id in window.list.get_children()] == ["something else", "你好，窗口"]
    window.destroy()
print("done")
"""


@pytest.fixture
def screen() -> Iterator[dict[str, str]]:
    """The environment of a program that opens windows on a screen of its own."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        number = server.stdout.readline().strip()
        yield {**os.environ, "DISPLAY": f":{number}", "PYTHONUTF8": "1"}
        server.terminate()


def test_a_person_can_chat_search_and_find_it_all_again(screen: dict[str, str], path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", USED_BY_A_PERSON, str(EXAMPLE), str(path)],
        env=screen, capture_output=True, text=True, encoding="utf-8", timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == "", "Tk only prints what goes wrong in a window"
    assert result.stdout == "done\n"


def test_the_program_opens_its_window_and_stays(screen: dict[str, str], path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLE), str(path)], env=screen, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    assert program.poll() is None
    program.terminate()
    assert program.communicate()[1] == ""
