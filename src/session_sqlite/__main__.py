"""`python -m session_sqlite` is the command `session-sqlite`."""

from session_sqlite.cli import main

if __name__ == "__main__":
    main(prog_name="session-sqlite")
