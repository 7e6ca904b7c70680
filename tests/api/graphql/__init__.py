"""Tests of the GraphQL transport, against a small schema of their own."""
