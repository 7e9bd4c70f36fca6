"""The notices that the licences of the sources ask to be passed on with whatever is made from them."""

import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from selfalign.data.config import HUB, IMPORTED


def notice(sources: Iterable[dict]) -> str:
    """The notice for data and models made from `sources` (the config's)."""
    texts = ["The datasets and the model of this run begin with functions from these sources; every seed names its own file and licence:"]
    for source in sources:
        imported = source["kind"] == IMPORTED
        unknown = "as each row states; unknown where it states none" if imported else "as each row states"
        texts.append(f"{source['name']} ({source['kind']}), licence: {source['licence'] or unknown}")
        if imported and (path := notice_beside(source["path"])):
            texts.append(path.read_text(encoding="utf-8", errors="replace").strip())
        if source["kind"] == "stdlib":
            texts.append(
                f"Functions were taken out of the library of Python {sys.version.split()[0]} and changed: imports added, comments removed.\n\n"
                f"{sys.copyright}\n\n{_python_licence()}"
            )
    return "\n\n".join(texts) + "\n"


def notice_beside(address: str) -> Path | None:
    """The NOTICE.txt that came with rows from elsewhere: in their folder, or in the one above (a repository's data lie in data/)."""
    if address.startswith(HUB):
        return None
    folder = Path(address) if Path(address).is_dir() else Path(address).parent
    return next((path for path in (folder / "NOTICE.txt", folder.parent / "NOTICE.txt") if path.is_file()), None)


def _python_licence() -> str:
    path = Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"
    if path.exists():
        return path.read_text(encoding="utf-8", errors="replace").strip()
    return "Licensed under the PSF License Version 2: https://docs.python.org/3/license.html"
