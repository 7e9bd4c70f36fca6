"""HTML in small pieces. Every function takes text and gives HTML: what comes from the data is escaped here, and nowhere else.

`Html` is text that is HTML already; everything else is escaped when it is put together.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token

_VOID = {"br", "meta", "link"}
# What a browser cannot show, or could take for a change of writing direction that hides what a program does.
_UNSEEN = {code: f"\\x{code:02x}" for code in [*range(9), 11, 12, *range(14, 32), 127]}
_UNSEEN |= {code: f"\\u{code:04x}" for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)]}


class Html(str):
    """Text that is HTML already. What is added to it is escaped."""

    def __add__(self, other: str) -> "Html":
        return Html(str.__add__(self, text(other)))


def text(value: object) -> Html:
    """Any value as HTML: escaped, unless it is HTML already."""
    if isinstance(value, Html):
        return value
    shown = str(value).translate(_UNSEEN)
    return Html(shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("'", "&#39;"))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Several values after each other."""
    return Html(between.join(text(part) for part in parts))


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """An element. A trailing underscore of an attribute's name is cut, others become hyphens; None leaves the attribute out."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items() if value is not None)
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{join(content)}</{name}>")


def shortened(value: str, characters: int) -> str:
    """The text, or its beginning and how much is missing."""
    if len(value) <= characters:
        return value
    return f"{value[:characters]}\n… {len(value) - characters:,} more characters"


def code(value: str, language: str, characters: int) -> Html:
    """A listing, highlighted as `language` (a name that pygments knows), at most so many characters of it."""
    tokens = _lexer(language).get_tokens(shortened(value, characters))
    coloured = groupby(((_colour(kind), piece) for kind, piece in tokens), key=itemgetter(0))
    pieces = ((colour, "".join(piece for _, piece in run)) for colour, run in coloured)
    return tag("pre", *(tag("span", piece, class_=colour) if colour else piece for colour, piece in pieces), tabindex="0")


@cache
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language, stripnl=False)


# Of all that pygments tells apart, what the page colours.
_COLOURS = {
    **{Token.Keyword: "k", Token.Operator.Word: "k", Token.Literal.String: "s", Token.Literal.Number: "m", Token.Comment: "c"},
    **{Token.Name.Function: "nf", Token.Name.Class: "nf", Token.Name.Decorator: "nf", Token.Name.Namespace: "nf", Token.Name.Tag: "nf"},
    **{Token.Generic.Inserted: "gi", Token.Generic.Deleted: "gd", Token.Generic.Heading: "gh", Token.Generic.Subheading: "gh"},
    Token.Generic.Strong: "gh",
}


@cache
def _colour(kind: Any) -> str:
    """The class of a kind of token: its own, or that of the nearest kind above it; "" for none."""
    while kind is not Token:
        if kind in _COLOURS:
            return _COLOURS[kind]
        kind = kind.parent
    return ""


def fold(title: object, *content: object, **attributes: object) -> Html:
    """A title that opens what is below it."""
    return tag("details", tag("summary", title), *content, **attributes)


def table(headers: Sequence[object], rows: Iterable[Sequence[object]], numbers: Iterable[int] = (), label: str | None = None) -> Html:
    """A table whose columns sort on a click. `numbers` are the columns that are aligned right."""
    right = set(numbers)
    head = [tag("th", tag("button", header, type="button"), class_="n" if i in right else None, scope="col") for i, header in enumerate(headers)]
    body = [tag("tr", *(tag("td", cell, class_="n" if i in right else None) for i, cell in enumerate(row))) for row in rows]
    made = tag("table", tag("thead", tag("tr", *head)), tag("tbody", join(body, "\n")))
    return tag("div", made, class_="scroll", role="region", aria_label=label, tabindex="0")


def facts(pairs: Mapping[str, object]) -> Html:
    """Names and values side by side."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs.items()), class_="facts")


def note(*content: object) -> Html:
    """A remark in small print."""
    return tag("p", *content, class_="note")


def explained(name: str, meanings: Mapping[str, str]) -> Html:
    """A reason's name, what it means under it."""
    return join([name, tag("small", meanings[name])]) if name in meanings else text(name)


def count(value: float | int | None) -> str:
    """A count with separators; nothing for None."""
    return "" if value is None else f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """A percentage, `-` of nothing. Only all is 100% and only none is 0%."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "<0.1%"
    if 99.95 <= percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%" if percent not in (0, 100) else f"{percent:.0f}%"


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would take."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def plain(value: Any) -> str:
    """A value of a config or a job's facts in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
