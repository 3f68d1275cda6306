"""What a user did wrong, in one sentence; anything else that is raised is a bug of ours."""

from collections.abc import Iterable


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


def known(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
