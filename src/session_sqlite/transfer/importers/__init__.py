"""Other programs' conversations, as arrivals.

A *source* is a file: JSON (`json_files`) or a SQLite database (`databases`). A *format* is what a source can be: it
knows its own by looking, and reads it as a stream of arrivals. Which format a source has is found out from its content,
never from its name.
"""

from session_sqlite.transfer.importers.formats import FORMATS, opened

__all__ = ["FORMATS", "opened"]
