from email.message import Message

import pytest

from selfalign.sources.licences import joined_licence, licence_allowed, package_licence

ALLOWED = ["MIT", "Apache-2.0", "PSF-2.0"]


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("mit", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", True),
        ("(MIT AND GPL-3.0-only) OR PSF-2.0", True),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("MIT License, see LICENSE", False),
        ("MIT OR", False),
        ("(MIT", False),
        ("GPL-3.0-only", False),
        ("", False),
    ],
)
def test_an_expression_is_met_by_the_allow_list_or_not(licence, allowed):
    assert licence_allowed(licence, ALLOWED) is allowed


def test_an_exception_can_be_allowed_as_a_whole():
    assert licence_allowed("MIT OR Apache-2.0 WITH LLVM-exception", ["apache-2.0 with llvm-exception"])


def test_all_licences_of_a_list_hold():
    assert joined_licence(["MIT", "GPL-3.0-only"], "") == "GPL-3.0-only AND MIT"
    assert joined_licence([], "MIT") == "MIT"
    assert joined_licence(None, "MIT") == "MIT"
    assert joined_licence("  ISC ", "MIT") == "ISC"
    both = joined_licence(["MIT OR GPL-3.0-only", "Apache-2.0"], "")
    assert licence_allowed(both, ["MIT", "Apache-2.0"])
    assert not licence_allowed(both, ["GPL-3.0-only"]) and not licence_allowed(both, ["MIT"])


def test_a_licence_that_cannot_be_read_is_unknown_and_not_the_sources():
    for value in ({"spdx": "GPL-3.0-only"}, 3, False, [["MIT"]]):
        assert joined_licence(value, "MIT") == ""


class Package:
    def __init__(self, **headers):
        self.metadata = Message()
        for name, values in headers.items():
            for value in values:
                self.metadata[name.replace("_", "-")] = value


def test_the_licence_of_a_package_is_its_expression_then_its_classifiers_then_its_text():
    mit = "License :: OSI Approved :: MIT License"
    apache = "License :: OSI Approved :: Apache Software License"
    assert package_licence(Package(License_Expression=["ISC"], Classifier=[mit])) == "ISC"
    assert package_licence(Package(Classifier=[mit, apache, "Topic :: Text Processing"])) == "Apache-2.0 AND MIT"
    assert package_licence(Package(License=["Zlib\n\nwith much text"])) == "Zlib"
    assert package_licence(Package()) == ""
    assert not licence_allowed(package_licence(Package(License=["BSD"])), ALLOWED)


def test_a_classifier_that_no_list_allows_is_not_overlooked():
    mit, bsd, gpl = (f"License :: OSI Approved :: {name}" for name in ("MIT License", "BSD License", "GNU General Public License v3 (GPLv3)"))
    for classifiers in ([mit, gpl], [mit, bsd], [gpl]):
        assert package_licence(Package(Classifier=classifiers)) and not licence_allowed(package_licence(Package(Classifier=classifiers)), ALLOWED)
    assert package_licence(Package(Classifier=["License :: OSI Approved", mit])) == "MIT"
    assert package_licence(Package(Classifier=[bsd], License=["BSD-3-Clause"])) == "BSD-3-Clause"
    assert package_licence(Package(Classifier=[bsd])) == ""  # which BSD licence it is: the source may say
