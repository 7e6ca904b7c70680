"""Real database servers that live no longer than the test process that started them."""
