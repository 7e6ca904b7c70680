"""Shared costs: who bears them, by which rule, exactly."""
