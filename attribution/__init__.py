"""The heart: dimensions x measures over one table of events. Knows no HTTP, no ORM and no prices."""
