"""The one exception for bad input."""


class DataError(ValueError):
    """Bad input from outside. Its message is one line: the file, line or utterance, and what to do."""
