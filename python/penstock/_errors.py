"""The node's errors as exceptions, by their fixed names."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """A call that the node refused. `name` is one of the fixed names, `details` a dictionary."""

    def __init__(self, message: str, name: str = "internal",
                 details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.details = details or {}


class NotFound(Error):
    """The object or member does not exist."""


class BucketNotFound(NotFound):
    """The bucket does not exist."""


class Exists(Error):
    """The name is taken."""


class Invalid(Error):
    """The arguments are wrong; the message says which."""


class TooLarge(Error):
    """A limit of the node is exceeded; details name it."""


class Refused(Error):
    """Access rights, or this kind of connection, do not allow it."""


class Unauthenticated(Error):
    """The node wants a token, and was shown none that it knows."""


class ConditionFailed(Error):
    """A conditional change did not hold."""


class Corrupt(Error):
    """Stored bytes fail their check."""


class Full(Error):
    """No space is left on the node."""


class Busy(Error):
    """Too much is under way, or the node is stopping: try later."""


class NotImplementedByNode(Error):
    """The node does not have this yet."""


KINDS: "dict[str, type[Error]]" = {
    "not_found": NotFound, "bucket_not_found": BucketNotFound, "exists": Exists,
    "invalid": Invalid, "too_large": TooLarge, "refused": Refused,
    "unauthenticated": Unauthenticated,
    "condition_failed": ConditionFailed, "corrupt": Corrupt, "full": Full, "busy": Busy,
    "not_implemented": NotImplementedByNode}


def error_from(reply: Any) -> Error:
    """The exception for an error reply, [code, message, details]."""
    try:
        _, message, details = reply
        name = details["name"]
    except (TypeError, ValueError, KeyError):
        return Error(f"the node answered with an error of an unknown form: {reply!r}")
    return KINDS.get(name, Error)(message, name, details)
