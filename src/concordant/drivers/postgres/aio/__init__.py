"""The drivers that talk to PostgreSQL, in their async form; the sync one is generated."""
