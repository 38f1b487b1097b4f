"""Schema versions of the database."""
