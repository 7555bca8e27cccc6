"""PostgreSQL: the embedded server, connections, migrations and roles."""
