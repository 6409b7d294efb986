"""Renderers that show a conversation to people: in a terminal, in a notebook, or as an HTML page.

They are functions of a session and its events, and do no I/O. `text` formats times, values and tokens, and groups
events that belong together; `terminal` and `html` use it. `html` also registers how a notebook shows a value of
`models`.
"""

from session_sqlite.transcript.html import html_page
from session_sqlite.transcript.terminal import terminal_text, time_and_zone
from session_sqlite.transcript.text import display_width, fitted, origin_text, time_shown, visible
from session_sqlite.transcript.wrapping import wrapped

__all__ = [
    "display_width",
    "fitted",
    "html_page",
    "origin_text",
    "terminal_text",
    "time_and_zone",
    "time_shown",
    "visible",
    "wrapped",
]
