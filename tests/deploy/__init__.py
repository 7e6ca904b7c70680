"""The files operators deploy, checked by the tools that will read them."""
