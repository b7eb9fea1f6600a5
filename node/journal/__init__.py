"""What survives a restart: SQLite, one writer, group commit."""
