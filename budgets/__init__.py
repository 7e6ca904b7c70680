"""Targets on any slice of costs: budgets and guardrails, their evaluation, breaches and decisions."""
