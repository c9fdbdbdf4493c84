"""Every exception that tapecast raises, in one tree.

The tree lives in Python and imports nothing, so that every module, the Rust extension included, can
raise from it. Texts are lower case, name what was found and then what was expected, and end without
a period.
"""

__all__ = [
    "CommandError",
    "ConfigError",
    "DecodeError",
    "FeedError",
    "FeedForbidden",
    "FeedStale",
    "InternalFault",
    "RecordingDamaged",
    "SlowConsumerError",
    "StateForeign",
    "StateLocked",
    "StateTooNew",
    "StateUnusable",
    "StoreError",
    "TapecastError",
]


class TapecastError(Exception):
    """Base of every exception that tapecast raises on purpose."""


class ConfigError(TapecastError, ValueError):
    """Settings that cannot be used.

    Attributes:
        problems: Every problem found, one line each, as `setting: found, expected`.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        """Return the problems, one a line."""
        return "\n".join(self.problems)


class DecodeError(TapecastError, ValueError):
    """An exchange frame that is not a well-formed trade message; nothing of it was applied.

    Attributes:
        kind: Stable name of the fault, such as `bad_size`.
        position: Byte of the frame at which the fault was found.
        excerpt: What stands there, at most 64 bytes of it.
        message: The whole text.
    """

    def __init__(self, kind: str, position: int, excerpt: str, message: str) -> None:
        super().__init__(kind, position, excerpt, message)
        self.kind = kind
        self.position = position
        self.excerpt = excerpt
        self.message = message

    def __str__(self) -> str:
        """Return the text that names what was found and what was expected."""
        return self.message


class FeedError(TapecastError):
    """The exchange's side of the feed failed."""


class FeedForbidden(FeedError):  # noqa: N818 -- the name states what happened
    """The exchange bars this address for a while; asking again soon makes it worse.

    Attributes:
        request: What was asked for.
        status: The HTTP status, 403 or 429.
    """

    def __init__(self, request: str, status: int) -> None:
        super().__init__(request, status)
        self.request = request
        self.status = status

    def __str__(self) -> str:
        """Return the request and the status."""
        return f"{self.request} was answered HTTP {self.status}, expected 200"


class FeedStale(FeedError, TimeoutError):  # noqa: N818 -- a state of the feed, and a TimeoutError to callers
    """Nothing came from the exchange for longer than allowed.

    Attributes:
        line: Name of the connection.
        silent_s: How long it was silent, in seconds.
        limit_s: How long it may be silent, in seconds.
    """

    def __init__(self, line: str, silent_s: float, limit_s: float) -> None:
        # Of more than one argument `OSError`, which a `TimeoutError` is, makes an errno and so on.
        super().__init__(line)
        self.line = line
        self.silent_s = silent_s
        self.limit_s = limit_s

    def __reduce__(self) -> tuple[type["FeedStale"], tuple[str, float, float]]:
        """Return what makes a copy, for pickling."""
        return type(self), (self.line, self.silent_s, self.limit_s)

    def __str__(self) -> str:
        """Return the line, its silence and the limit."""
        return (
            f"line {self.line} was silent for {self.silent_s:.1f} s, "
            f"expected at most {self.limit_s:.1f} s"
        )


class RecordingDamaged(FeedError):  # noqa: N818 -- the name states what happened
    """A file that cannot be read to its end; what came before is good."""


class CommandError(TapecastError):
    """A client's command that cannot be carried out; the connection stays.

    Attributes:
        code: One of the codes of the stream's protocol, such as `bad_json`.
        reason: What was found and what was expected.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        """Return the code and the reason."""
        return f"{self.code}: {self.reason}"


class SlowConsumerError(TapecastError):
    """A subscriber reads more slowly than the stream flows.

    Attributes:
        pending_bytes: Bytes that wait to be sent to it.
        limit_bytes: Bytes that may wait.
        for_s: How long more than that has waited, in seconds; None if not even that is allowed for
            a while.
    """

    def __init__(self, pending_bytes: int, limit_bytes: int, for_s: float | None = None) -> None:
        super().__init__(pending_bytes, limit_bytes, for_s)
        self.pending_bytes = pending_bytes
        self.limit_bytes = limit_bytes
        self.for_s = for_s

    def __str__(self) -> str:
        """Return the figures."""
        since = "" if self.for_s is None else f" for {self.for_s:.1f} s"
        return f"{self.pending_bytes} bytes are pending{since}, expected at most {self.limit_bytes}"


class InternalFault(TapecastError):  # noqa: N818 -- a fault of ours, which no caller can mend
    """A part of the daemon ended that must not; the daemon ends, since it would live half dead.

    Attributes:
        part: Which one, such as `task broadcaster`.
        end: What became of it, such as `was cancelled`.
    """

    def __init__(self, part: str, end: str) -> None:
        super().__init__(part, end)
        self.part = part
        self.end = end

    def __str__(self) -> str:
        """Return the part and its end."""
        return f"{self.part} {self.end}, expected to run until the daemon stops"


class StoreError(TapecastError):
    """What is kept on disk cannot be used."""


class StateLocked(StoreError):  # noqa: N818 -- the name states what happened
    """Another process uses the state directory.

    Attributes:
        directory: The state directory.
        pid: Number of that process; None where it cannot be told.
    """

    def __init__(self, directory: str, pid: int | None) -> None:
        super().__init__(directory, pid)
        self.directory = directory
        self.pid = pid

    def __str__(self) -> str:
        """Return the directory and the process."""
        user = "another process" if self.pid is None else f"process {self.pid}"
        return f"state directory {self.directory} is in use by {user}, expected one not in use"


class StateTooNew(StoreError):  # noqa: N818 -- the name states what happened
    """A file of the state directory was written by a newer tapecast; nothing of it was changed.

    Attributes:
        path: The file.
        found: Its version.
        expected: The newest version that can be read.
    """

    def __init__(self, path: str, found: int, expected: int) -> None:
        super().__init__(path, found, expected)
        self.path = path
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        """Return the file and both versions."""
        return f"{self.path} has version {self.found}, expected at most {self.expected}"


class StateForeign(StoreError):  # noqa: N818 -- the name states what happened
    """The state directory is of a daemon with other settings, whose messages cannot be continued.

    Attributes:
        directory: The state directory.
        found: What it is of.
        expected: What it should be of.
    """

    def __init__(self, directory: str, found: str, expected: str) -> None:
        super().__init__(directory, found, expected)
        self.directory = directory
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        """Return the directory and both identities."""
        return f"state directory {self.directory} is of {self.found}, expected {self.expected}"


class StateUnusable(StoreError):  # noqa: N818 -- the name states what happened
    """The state directory cannot be read or written.

    Attributes:
        directory: The state directory.
        reason: What was found.
        expected: What was expected.
    """

    def __init__(
        self, directory: str, reason: str, expected: str = "a directory that can be written to"
    ) -> None:
        super().__init__(directory, reason, expected)
        self.directory = directory
        self.reason = reason
        self.expected = expected

    def __str__(self) -> str:
        """Return the directory, the reason and what was expected."""
        return (
            f"state directory {self.directory} cannot be used: {self.reason}, "
            f"expected {self.expected}"
        )
