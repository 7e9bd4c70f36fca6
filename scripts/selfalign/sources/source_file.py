"""What every kind of source gives: a file's text, or why there is none."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source file. `text` is None where it could not be read; `error` is then a reason of `extract_functions`."""

    source: str  # name of the source in the config
    path: str  # where the source has it; unique within the source
    licence: str  # SPDX identifier or expression, "" if unknown
    text: str | None = None
    error: str = ""
    detail: str = ""
    module: str = ""  # the name that imports it, where it is installed
    repository: str = ""  # name of the repository, or name and version of the package; "" if unknown


def as_text(text: str) -> str:
    """Source text without byte order mark and with newlines only, so that copies with other line ends are copies."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
