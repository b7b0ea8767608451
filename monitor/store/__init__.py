"""Where associations live: in SQLite, in Redis or Valkey, in memory."""
