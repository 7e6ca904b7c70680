"""Telling people and systems: an outbox in the database, delivered at least once, signed."""
