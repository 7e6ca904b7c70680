"""What usage costs: the effective-dated price book and the rating of usage into money."""
