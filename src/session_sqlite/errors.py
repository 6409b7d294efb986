"""The errors that this package raises, a tree with one root.

::

    SessionError                    everything this package raises on purpose
    ├── InvalidInputError           an argument is wrong; also a ValueError
    │   ├── NotSerializableError    a value cannot be stored as JSON
    │   └── EventTooLargeError      an event is over the store's limit
    ├── SessionNotFoundError        this app and user have no such session
    ├── SessionExistsError          this app and user have a session with this id
    ├── EventNotFoundError          the session has no such event
    ├── DuplicateEventError         the session has an event with this id and other content
    ├── StaleSessionError           the session changed since the caller read it
    └── StoreError                  the file or server of the store failed
        ├── StoreBusyError          another writer held the lock until the deadline
        ├── StoreFullError          the disk is full
        ├── CorruptStoreError       the file is damaged
        ├── NotAStoreError          the file is not a session store
        ├── NewerSchemaError        the file was written by a newer release
        ├── ReadOnlyStoreError      the store cannot be written
        ├── StoreClosedError        the service was closed
        └── QueryError              a query was refused or failed

A message names the session or the path and says what to do. It never contains the text of a conversation. The
driver's own error is the cause (``__cause__``).
"""


class SessionError(Exception):
    """The root of every error that this package raises on purpose."""


class InvalidInputError(SessionError, ValueError):
    """An argument is of the wrong type, out of range or malformed; nothing was written."""


class NotSerializableError(InvalidInputError):
    """A value cannot be stored exactly as JSON; the message names the place of the value."""


class EventTooLargeError(InvalidInputError):
    """An event is larger than the store's ``max_event_bytes``."""


class SessionNotFoundError(SessionError):
    """This app and user have no session with this id."""


class SessionExistsError(SessionError):
    """This app and user already have a session with this id."""


class EventNotFoundError(SessionError):
    """The session has no such event."""


class DuplicateEventError(SessionError):
    """The session already has an event with this id and other content."""


class StaleSessionError(SessionError):
    """The session changed since the caller read it; read it again and retry."""


class StoreError(SessionError):
    """The file or server that holds the sessions failed, or refused the call."""


class StoreBusyError(StoreError):
    """Another writer held the lock until the deadline; nothing was written, and it is safe to try again."""


class StoreFullError(StoreError):
    """The disk is full; nothing was written."""


class CorruptStoreError(StoreError):
    """The file is damaged."""


class NotAStoreError(StoreError):
    """The path is not a session store, but another program's database, another kind of file, or a directory."""


class NewerSchemaError(StoreError):
    """The store was written by a newer release of this package."""


class ReadOnlyStoreError(StoreError):
    """The store is read-only, or was opened read-only, and cannot be written."""


class StoreClosedError(StoreError):
    """The service was closed."""


class QueryError(StoreError):
    """A query of the caller was refused or failed."""
