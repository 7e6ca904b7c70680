"""The command line's nouns. To import one is cheap: what a command works with is imported when it runs."""
