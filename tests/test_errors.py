"""Text of errors."""

import pytest

from al_bench.errors import first_line


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("first\nsecond"), "first"),
        (ValueError("\n  first  \nsecond"), "first  "),
        (ValueError(""), "ValueError"),
        ("first\nsecond", "first"),
        ("", ""),
    ],
)
def test_the_first_line(error, expected):
    assert first_line(error) == expected
