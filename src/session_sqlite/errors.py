"""What can go wrong, as one tree with one root.

::

    SessionError                    everything this package raises on purpose
    ├── InvalidInputError           a bad argument; also a ValueError
    │   ├── NotSerializableError    a value that JSON cannot hold; names its path
    │   └── EventTooLargeError      an event over the store's limit
    ├── SessionNotFoundError        no such session for this app and user
    ├── SessionExistsError          the id is taken by this app and user
    ├── EventNotFoundError          no such event in this session
    ├── DuplicateEventError         the event id is taken by an event with other content
    ├── StaleSessionError           the session moved on since the caller read it
    └── StoreError                  the file or server behind the sessions
        ├── StoreBusyError          another process kept the write lock past the deadline
        ├── StoreFullError          no room on the disk
        ├── CorruptStoreError       the file is damaged
        ├── NotAStoreError          the file is something else
        ├── NewerSchemaError        the file was written by a newer release
        ├── ReadOnlyStoreError      a write to a store that cannot be written
        ├── StoreClosedError        the service was closed
        └── QueryError              a query of the caller's that cannot run

Messages name the session or the path and say what to do. They never contain the text of a conversation; the
driver's own error is the cause (``__cause__``).
"""


class SessionError(Exception):
    """The root of every error that this package raises on purpose."""


class InvalidInputError(SessionError, ValueError):
    """An argument is of the wrong type, out of range or malformed; nothing was written."""


class NotSerializableError(InvalidInputError):
    """A value cannot be kept exactly as JSON; the message names its path."""


class EventTooLargeError(InvalidInputError):
    """An event is larger than the store's ``max_event_bytes``."""


class SessionNotFoundError(SessionError):
    """There is no session with this id for this app and user."""


class SessionExistsError(SessionError):
    """This app and user already have a session with this id."""


class EventNotFoundError(SessionError):
    """There is no such event in the session."""


class DuplicateEventError(SessionError):
    """The session already has an event with this id and other content."""


class StaleSessionError(SessionError):
    """The session has events that the caller had not seen (``expected_seq``); read again and retry."""


class StoreError(SessionError):
    """The file or server that holds the sessions refused or failed."""


class StoreBusyError(StoreError):
    """Another writer held the lock until the deadline passed; nothing was written, trying again is safe."""


class StoreFullError(StoreError):
    """The disk is full; nothing was written."""


class CorruptStoreError(StoreError):
    """The file is damaged."""


class NotAStoreError(StoreError):
    """The path is not a session store: another program's database, another kind of file, a directory."""


class NewerSchemaError(StoreError):
    """The store was written by a newer release of this package."""


class ReadOnlyStoreError(StoreError):
    """A write was asked of a store that is, or was opened, read-only."""


class StoreClosedError(StoreError):
    """The service was closed."""


class QueryError(StoreError):
    """A query of the caller's is not allowed or failed."""
