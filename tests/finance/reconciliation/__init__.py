"""Tests of `finance.reconciliation`."""
