"""What a user did wrong, in one sentence; anything else that is raised is a bug of ours."""

import errno
import traceback
from collections.abc import Iterable

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}


class UserError(Exception):
    """A mistake that the user can mend; printed as one line, without a traceback."""


def rule(field: str, value: object, broken: str, remedy: str) -> str:
    """The one form of all messages: field, value, rule, remedy."""
    return f"{field}={shown(value)}: {broken}; {remedy}"


def reject(field: str, value: object, broken: str, remedy: str) -> UserError:
    return UserError(rule(field, value, broken, remedy))


def shown(value: object) -> str:
    if value is None:
        return "null"
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def first_line(error: object) -> str:
    """Of a message; of an error without one, its kind."""
    text = str(error).strip() or (type(error).__name__ if isinstance(error, BaseException) else "")
    return text.partition("\n")[0]


def known(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def of_disk(error: Exception) -> UserError | None:
    """What the file system refused, as the user's matter; None for anything that may be a bug of ours."""
    if not isinstance(error, OSError):
        return None
    where = shown(error.filename) if error.filename is not None else "output_dir"
    if error.errno in FULL:
        return UserError(f"{where}: {error.strerror}; make room, then the same command continues")
    making = traceback.extract_tb(error.__traceback__)[-1:]
    unmakable = error.errno == errno.ENOENT and making and making[0].name == "mkdir"  # such as /proc/x
    if error.errno in CLOSED or unmakable:
        return UserError(f"{where}: {error.strerror}; set output_dir to a folder that can be written")
    return None
