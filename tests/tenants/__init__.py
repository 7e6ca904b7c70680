"""Tests of keys, of who holds them, and of the tables they are kept in."""
