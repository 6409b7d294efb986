"""Sessions on a PostgreSQL, MySQL or MariaDB server: a `Database`, and nothing of the service's verbs.

`dialects` says what differs between the servers, `schema` makes the tables, `database` runs statements and transactions
(and runs them again where a server asks for it), `search_index` finds words, and `checking` looks after the store.
"""
