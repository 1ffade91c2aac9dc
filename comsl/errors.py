"""The one exception for bad input."""


class DataError(ValueError):
    """Bad input from outside. Its message is one line: what is at fault, and what to do."""
