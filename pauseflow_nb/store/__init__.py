"""Keep executions in a database and files: tables, migrations, keys, and the only SQL."""
