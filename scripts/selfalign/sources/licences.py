"""Is a file's licence on the allow-list? SPDX identifiers, SPDX expressions, lists of them, and the metadata of packages."""

import re
from collections.abc import Iterable
from importlib.metadata import Distribution

# Trove classifiers that name one licence of SPDX's.
CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: MIT No Attribution License (MIT-0)": "MIT-0",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: Zero-Clause BSD (0BSD)": "0BSD",
    "License :: OSI Approved :: The Unlicense (Unlicense)": "Unlicense",
    "License :: OSI Approved :: zlib/libpng License": "Zlib",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
    "License :: CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
}

# A classifier that does not say which licence it is, and one that says nothing.
_ANY_BSD = "BSD License"
_NO_LICENCE = "License :: OSI Approved"

_TOKEN = re.compile(r"\(|\)|[^\s()]+")


def licence_allowed(licence: str, allowed: Iterable[str]) -> bool:
    """Whether an SPDX expression is met by the allow-list, in any case of letters: of `A OR B` one, of `A AND B` both.

    `A WITH exception` must be on the list as a whole. What is not an expression ("see LICENSE") is not allowed.
    """
    words = {" ".join(name.lower().split()) for name in allowed}
    if " ".join(licence.lower().split()) in words:
        return True
    tokens = _TOKEN.findall(licence)
    met, position = _either(tokens, 0, words)
    return met and position == len(tokens)


def _either(tokens: list[str], position: int, words: set[str]) -> tuple[bool, int]:
    met, position = _both(tokens, position, words)
    while position < len(tokens) and tokens[position].upper() == "OR":
        other, position = _both(tokens, position + 1, words)
        met = met or other
    return met, position


def _both(tokens: list[str], position: int, words: set[str]) -> tuple[bool, int]:
    met, position = _one(tokens, position, words)
    while position < len(tokens) and tokens[position].upper() == "AND":
        other, position = _one(tokens, position + 1, words)
        met = met and other
    return met, position


def _one(tokens: list[str], position: int, words: set[str]) -> tuple[bool, int]:
    if position >= len(tokens):
        return False, position + 1  # beyond the end: no expression
    if tokens[position] == "(":
        met, position = _either(tokens, position + 1, words)
        closed = position < len(tokens) and tokens[position] == ")"
        return met and closed, position + closed
    name, position = tokens[position], position + 1
    if position + 1 < len(tokens) and tokens[position].upper() == "WITH":
        name, position = f"{name} with {tokens[position + 1]}", position + 2
    return name.lower() in words, position


def joined_licence(value: object, default: str) -> str:
    """The licence of a dataset row: a text, a list of texts (all of them hold), or nothing, which means `default`; "" for anything else."""
    if value is None:
        return default
    if isinstance(value, str):
        return value.strip() or default
    if not isinstance(value, (list, tuple)) or not all(name is None or isinstance(name, str) for name in value):
        return ""
    names = sorted({name.strip() for name in value if name and name.strip()})
    if len(names) > 1:
        names = [f"({name})" if " " in name else name for name in names]
    return " AND ".join(names) or default


def package_licence(distribution: Distribution) -> str:
    """The licence in an installed package's metadata: License-Expression, else its classifiers, else License; "" if none.

    All classifiers hold. One that is no licence of SPDX's stands there by its name, which no allow-list meets, rather than be overlooked.
    """
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    lines = [line for line in metadata.get_all("Classifier") or () if line.startswith("License ::") and line != _NO_LICENCE]
    names = {CLASSIFIERS[line] if line in CLASSIFIERS else line.rpartition(" :: ")[2] for line in lines}
    if names - {_ANY_BSD}:
        return " AND ".join(sorted(names))
    # Some packages put the whole text of their licence there; its first line tells the user which one it is.
    return metadata["License"].strip().partition("\n")[0] if "License" in metadata else ""
