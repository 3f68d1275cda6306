"""Mistakes of the user, each in one line. Any other exception is a bug of this project."""

import difflib
import errno
import re
import traceback
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}
# Types of values, in words.
TYPES: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}

# After `://`: a name and a password, which may hold any sign; or one token before the first slash.
SECRET = re.compile(r"""(?<=://)(?:[^/\s:@"']+:[^\s"']*|[^/\s"']+)@""")


class UserError(Exception):
    """A mistake that the user can mend; printed as one line, without a traceback."""


def rule(field: str, value: object, broken: str, remedy: str) -> str:
    """The form of every message: field, value, rule, remedy."""
    return f"{field}={shown(value)}: {_brief(broken)}; {remedy}"


def _brief(text: str) -> str:
    """Without the middle where it is long, such as a text or a number of the user's without end."""
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"


def reject(field: str, value: object, broken: str, remedy: str) -> UserError:
    return UserError(rule(field, value, broken, remedy))


def not_one_of(value: object, allowed: Sequence[str]) -> tuple[str, str]:
    """The rule and the remedy for a value that is not allowed."""
    return f"must be one of {known(allowed)}", did_you_mean(str(value), allowed, "choose one of these")


def did_you_mean(name: str, names: Sequence[str], otherwise: str) -> str:
    """The remedy for a name that does not exist: the most similar one, or what else to do."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def shown(value: object) -> str:
    if value is None:
        return "null"
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def first_line(error: object) -> str:
    """The first line of a message; the type of an error without one."""
    text = str(error).strip() or (type(error).__name__ if isinstance(error, BaseException) else "")
    return text.partition("\n")[0]


def root_cause(error: BaseException) -> BaseException:
    """What an error came from, where libraries wrap one error in another. A line for the user is its own cause."""
    while not isinstance(error, UserError) and (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def without_secrets(text: str) -> str:
    """The text with `***` in place of what its URLs have before an `@`, such as a name and a password."""
    return SECRET.sub("***@", text)


def known(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def of_disk(error: Exception) -> UserError | None:
    """An error of the file system as the user's mistake; None where it may be a bug."""
    if not isinstance(error, OSError):
        return None
    where = shown(error.filename) if error.filename is not None else "output_dir"
    if error.errno in FULL:
        return UserError(f"{where}: {error.strerror}; make room, then the same command continues")
    raised_in = [frame.name for frame in traceback.extract_tb(error.__traceback__)[-1:]]
    no_parent = error.errno == errno.ENOENT and raised_in == ["mkdir"]  # such as /proc/x
    if error.errno in NOT_WRITABLE or no_parent:
        return UserError(f"{where}: {error.strerror}; set output_dir to a folder that can be written")
    return None
