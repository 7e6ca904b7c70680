"""Tests of `finance`."""
