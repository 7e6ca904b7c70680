"""Tests of `budgets`."""
