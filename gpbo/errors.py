"""What gpbo raises: one root, and a child for each kind of caller mistake or limit."""


class GpboError(Exception):
    """Root of every error gpbo raises on purpose."""


class ArgumentError(GpboError, ValueError):
    """An argument of a public call has a value that cannot work."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of a public call has the wrong type."""


class SpaceError(GpboError, ValueError):
    """A search space, or a point that should lie in it, is invalid."""


class SpaceTypeError(SpaceError, TypeError):
    """A part of a search space, or of a point, has the wrong type."""


class TellError(GpboError, ValueError):
    """Results handed to the optimizer do not fit the trials they belong to."""


class TellTypeError(TellError, TypeError):
    """A result handed to the optimizer is not a real number."""


class TrialStateError(TellError):
    """The trial is not in a state that allows this call, e.g. it was told before."""


class UnknownTrialError(GpboError, LookupError):
    """No trial of this optimizer has this id."""


class SpaceExhausted(GpboError, RuntimeError):
    """A finite space holds fewer untried points than were asked for.

    Attributes:
        left: How many it holds.
    """

    def __init__(self, message: str = "", left: int = 0) -> None:
        super().__init__(message)
        self.left = left


class NotReadyError(GpboError, RuntimeError):
    """The answer needs results that have not been told yet."""


class DeviceError(GpboError, RuntimeError):
    """The GPU that was asked for cannot be used in this process."""


class StorageError(GpboError, RuntimeError):
    """A stored study cannot be read or written now. Nothing was recorded by the call that raised this."""


class StudyNotFoundError(StorageError, LookupError):
    """There is no stored study of this name, or no database in that place."""


class StudyMismatchError(StorageError, ValueError):
    """The stored study of this name has another space, direction or setting."""


class CorruptStudyError(StorageError):
    """What is stored is damaged, or was changed by something other than gpbo."""


class StudyVersionError(StorageError):
    """A newer version of gpbo wrote the database, or a program other than gpbo."""


class WorkerReplacedError(StorageError):
    """Another process has taken this worker's name, and with it the trials that were pending."""


class FailedTrialWarning(UserWarning):
    """A value was NaN or infinite: its trial counts as failed."""
