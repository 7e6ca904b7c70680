"""What providers billed against what is attributed: the difference, its causes, and booking the rest."""
