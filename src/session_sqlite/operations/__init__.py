"""What the verbs of the service do: functions of a transaction, or of a database to read from; a subject a module.

They take values that were checked, know no service and no backend, and compose: one may be a part of another's
transaction. A function that writes to a session takes its lock before it reads anything of it, by `Transaction.lock`
or by a first statement that changes the session's row.
"""
