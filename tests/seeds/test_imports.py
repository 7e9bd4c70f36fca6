import pytest

from selfalign.seeds.imports import imported_modules, infer_imports, mentioned_names, offered_imports
from selfalign.seeds.parse import function_of


def test_a_file_offers_its_imports_and_if_installed_its_own_public_names():
    imports = ["import re, json as j", "from collections.abc import (\n  Mapping,\n  Sequence as Seq,\n)", "from math import *"]
    offers = offered_imports(imports, ["helper", "_hidden"])
    assert offers == {
        "re": ["import re"],
        "j": ["import json as j"],
        "Mapping": ["from collections.abc import Mapping"],
        "Seq": ["from collections.abc import Sequence as Seq"],
    }
    assert offered_imports([], ["helper", "_hidden"], "pkg.mod") == {"helper": ["from pkg.mod import helper"]}
    assert offered_imports([], ["helper"], "pkg._mod") == {}


@pytest.mark.parametrize(
    ("module", "is_package", "expected"),
    [
        ("", False, {}),
        ("pkg.sub.mod", False, {"here": ["from pkg.sub import here"], "up": ["from pkg.other import up"], "top": ["from pkg.sub.near import top"]}),
        ("pkg.sub", True, {"here": ["from pkg.sub import here"], "up": ["from pkg.other import up"], "top": ["from pkg.sub.near import top"]}),
        ("pkg", True, {"here": ["from pkg import here"], "top": ["from pkg.near import top"]}),
    ],
)
def test_relative_imports_are_offered_where_the_module_is_known(module, is_package, expected):
    imports = ["from . import here", "from ..other import up", "from .near import top"]
    assert offered_imports(imports, [], module, is_package) == expected


def test_all_submodules_of_one_name_are_offered_and_of_other_bindings_the_first():
    offers = offered_imports(["import urllib.parse", "import urllib.request", "from a import x", "from b import x"], [])
    assert offers == {"urllib": ["import urllib.parse", "import urllib.request"], "x": ["from a import x"]}


def infer(code, undefined, offered=()):
    return infer_imports(function_of(code), undefined, offered)


def test_the_files_own_imports_come_before_the_tables():
    code = "def f(x):\n    return Counter(re.findall(x)), np.array(x)\n"
    assert infer(code, ["Counter", "re", "np"]) == (["from collections import Counter", "import numpy as np", "import re"], [])
    assert infer(code, ["Counter", "re", "np"], ["import regex as re"])[0] == [
        "from collections import Counter",
        "import numpy as np",
        "import regex as re",
    ]


def test_a_name_that_nothing_provides_stays_unknown():
    # `queue` is no attribute access here, so it is somebody's variable, not the module.
    assert infer("def f(x):\n    return queue + helper(x)\n", ["queue", "helper"]) == ([], ["helper", "queue"])


def test_names_in_code_and_in_string_annotations_are_mentioned():
    names = mentioned_names('def f(x: "Optional[Path]", y=größe_2) -> "list[Decimal]":\n    z: "Any" = y.attribute\n    return z + 3e5\n')
    assert {"Optional", "Path", "Decimal", "Any", "größe_2", "y"} <= names
    assert not {"2", "3e5", "e5"} & names


def test_imports_inside_a_function_count_with_all_their_names():
    tree = function_of("def f(x):\n    import a.b as c\n    from d import e\n    from . import g\n    return c\n")
    assert imported_modules(tree, ["from os import path"]) == [".", "a.b", "d", "d.e", "os", "os.path"]
