"""What can go wrong, split into "run again and it may work" and "somebody must act".

Every error carries the exit code that tells cron what happened (0 and 3 are outcomes, not errors):

====  ===================================================
1     a defect of this program
2     wrong usage
4     a repository can't be read
5     Elasticsearch can't be reached, or refused us
6     another run holds this repository
====  ===================================================
"""

from typing import ClassVar


class IngestError(Exception):
    """A failure that is not a defect of this program; ``str()`` of it is what the user reads.

    :param what: what happened, to what (a URL without credentials, an index, a commit); no full stop
    :param advice: what to do about it, as a sentence without a full stop
    """

    exit_code: ClassVar[int] = 1
    again: ClassVar[str] = ""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what, advice)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.what}. {self.again} {self.advice}."


class TransientError(IngestError):
    """Time may mend it."""

    again = "Running again may help:"


class TerminalError(IngestError):
    """Running again gives the same result until somebody acts."""

    again = "Running again will not help:"


class UsageError(TerminalError):
    """A flag, an argument or an environment variable has a value that makes no sense."""

    exit_code = 2


class RepositoryRefusedError(TerminalError):
    """The repository does not exist, is none, or is closed to us; or there is no room for its mirror."""

    exit_code = 4


class RepositoryUnavailableError(TransientError):
    """The repository's host does not answer, or broke off."""

    exit_code = 4


class SchedulerUnavailableError(TransientError):
    """The scheduler that hands repositories to workers does not answer, so that none can be read."""

    exit_code = 4


class ElasticsearchRefusedError(TerminalError):
    """Elasticsearch, or what stands at its address, will not do what we ask."""

    exit_code = 5


class ElasticsearchUnavailableError(TransientError):
    """Elasticsearch does not answer, or not in time."""

    exit_code = 5


class RepositoryBusyError(TransientError):
    """Another run holds the repository's mirror."""

    exit_code = 6
