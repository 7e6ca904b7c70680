"""Tests of `finance.allocation`."""
