"""Provider bills: one module a format, and what all of them share. `formats` lists them."""
