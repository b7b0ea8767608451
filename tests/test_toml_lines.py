"""The line of each key, in every way that TOML has to write one."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.toml_lines import KeyPath, key_lines, line_of

TEXT = '''\
# first = "no"
first = 1
dotted.key = 2   # a # comment

[table]  # [not.one]
"quoted \\u006bey" = "a = [ # {"
'literal.key' = 'no \\ escape'
array = [
    "x",   # [comment]
    "]",
    [1, 2],
]
inline = { a = 1, b = [ "}" ] }
multi = """
not = "a key"
[neither]
\\""" \\""""""
raw = \'\'\'
also = "none" \'\'\'\'\'
after = true

[table.sub]
x = 1
[[list]]
x = 1
[[list]]

x = 2
[list.sub]
y = 3
[[list.inner]]
z = 1
[[list]]
x = 3
'''

LINES: dict[KeyPath, int] = {
    ("first",): 2,
    ("dotted",): 3,
    ("dotted", "key"): 3,
    ("table",): 5,
    ("table", "quoted key"): 6,
    ("table", "literal.key"): 7,
    ("table", "array"): 8,
    ("table", "inline"): 13,
    ("table", "multi"): 14,
    ("table", "raw"): 18,
    ("table", "after"): 20,
    ("table", "sub"): 22,
    ("table", "sub", "x"): 23,
    ("list", 0): 24,
    ("list", 0, "x"): 25,
    ("list", 1): 26,
    ("list", 1, "x"): 28,
    ("list", 1, "sub"): 29,
    ("list", 1, "sub", "y"): 30,
    ("list", 1, "inner", 0): 31,
    ("list", 1, "inner", 0, "z"): 32,
    ("list", 2): 33,
    ("list", 2, "x"): 34,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_way_to_write_a_key(newline: str) -> None:
    text = TEXT.replace("\n", newline)
    tomllib.loads(text)
    assert key_lines(text) == LINES


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("table", "array", 2, 0), 8),
        (("table", "inline", "b"), 13),
        (("table", "missing"), 5),
        (("list", 1, "missing"), 26),
        (("nowhere", "at all"), 1),
        ((), 1),
    ],
)
def test_what_has_no_line_has_that_of_what_holds_it(path: KeyPath, line: int) -> None:
    assert line_of(key_lines(TEXT), path) == line


@given(st.text(alphabet="ab.=[]{}\"'#\\,1 \t\n", max_size=60))
def test_any_toml_is_read_to_its_end(text: str) -> None:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = key_lines(text)
    rows = text.replace("\r\n", "\n").count("\n") + 1
    assert all(1 <= line <= rows for line in lines.values())
    top = {path[0] for path in lines}
    assert top == set(values)


STRINGS = st.text(alphabet="ab\"'#=[]\n\\", max_size=8)


def written(value: str, style: int) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    if style:
        return f'"""\n{escaped}"""'
    return '"' + escaped.replace("\n", "\\n") + '"'


@given(st.lists(st.tuples(STRINGS, STRINGS, st.integers(0, 1), st.booleans()), max_size=8))
def test_each_key_has_the_line_that_it_was_written_on(entries: list[tuple[str, str, int, bool]]) -> None:
    text, expected = "", {}
    table: tuple[Any, ...] = ()
    for number, (name, value, style, heads) in enumerate(entries):
        key = f"{number}{name}"
        quoted = written(key, 0)
        line = text.count("\n") + 1
        if heads:
            table = (key,)
            expected[table] = line
            text += f"[ {quoted} ]\n\n"
        else:
            expected[(*table, key)] = line
            text += f"{quoted} = [{written(value, style)}, # {name!r}\n  1]\n"
    assert key_lines(text) == expected
    assert tomllib.loads(text) is not None
