"""Revenue against cost: profitability, what another tier would have earned, and what a margin asks for."""
