"""A company to try things out on: declared as data, its usage generated from a seed, the same every time."""
