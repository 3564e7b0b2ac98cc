"""The same functions to any number of digits."""
