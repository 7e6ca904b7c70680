"""Money in both directions: bills, shared costs, revenue, margins and the statements the billing system pulls."""
