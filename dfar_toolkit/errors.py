"""What can go wrong for a user, one class per audience.

Each message is one line: what was wanted, what was found, where, and how to mend it. The command line prints it
without a traceback; anything that is not one of these classes (or a ValueError about an argument) is our own defect
and keeps its traceback.
"""


class DfarError(Exception):
    """Any mistake in data, files or the world that the user can mend."""


class TableError(DfarError):
    """A table, file or folder in our own layout is not what it must be."""


class SourceError(DfarError):
    """A published file or an annotation export is not in the layout its source is known for."""


class EngineError(DfarError):
    """A model or a model server did not answer as it should."""


class HubError(DfarError):
    """The Hugging Face Hub refused, failed, or holds something else than expected."""
