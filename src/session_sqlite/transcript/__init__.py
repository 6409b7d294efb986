"""A conversation as people read it: in a terminal, and as HTML in a notebook or a page of its own.

Pure functions of a session and its events, without I/O. `text` says how a time, a value and the tokens look and which
events belong together; `terminal` and `html` put that into their form. `html` also registers how a value of `models`
shows itself in a notebook.
"""

from session_sqlite.transcript.html import html_page
from session_sqlite.transcript.terminal import terminal_text
from session_sqlite.transcript.text import display_width, fitted, origin_text, time_shown, visible

__all__ = ["display_width", "fitted", "html_page", "origin_text", "terminal_text", "time_shown", "visible"]
