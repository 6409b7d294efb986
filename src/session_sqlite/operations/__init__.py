"""The work of the service's verbs: functions that take a transaction, or a database to read from.

Their arguments have been checked. They know no service and no backend, and one may call another within the same
transaction. A function that writes to a session takes its lock before it reads anything of it, by `Transaction.lock`
or by a first statement that changes the session's row.
"""
