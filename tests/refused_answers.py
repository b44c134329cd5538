"""The answers that a project start refuses, for copier and cookiecutter alike, with the reasons that it gives."""

ORCID = "0000-0002-1825-0097"
"""Josiah Carberry's, who is ORCID's own example."""

MARKS = "it has a quotation mark, a backslash or a control character, which would break some file: leave it out"
TEMPLATE = "it has the marks of a template: leave them out"
NO_NAME = '"{}" is no name of a package: a small letter, then small letters and digits, with _ between, as in my_study'
TAKEN = '"{0}" would hide the package, module or word of Python of that name: take another, as in my_{0}'
NO_ORCID = '"{}" is no ORCID iD: four groups of four digits, as in 0000-0002-1825-0097, or nothing'
BAD_SUM = '"{}" is no ORCID iD: its last digit does not fit the others, so one of them is wrong'

REFUSED = [
    *[("package_name", name, TAKEN.format(name)) for name in ("numpy", "class", "match", "json", "seedbed", "src")],
    *[("package_name", name, TAKEN.format(name)) for name in ("scikit_learn", "compression")],
    *[
        ("package_name", name, NO_NAME.format(name))
        for name in ("1x", "My", "", "a-b", "a.b", "a b", "_a", "a/b", "..", "a_", "é")
    ],
    *[
        ("orcid", orcid, NO_ORCID.format(orcid))
        for orcid in ("0000", "0000-0002-1825-009x", "0000000218250097", "x" * 19)
    ],
    *[("orcid", orcid, BAD_SUM.format(orcid)) for orcid in ("0000-0002-1825-0098", "0000-0002-1825-009X")],
    *[(name, text, MARKS) for name in ("project_name", "description", "author") for text in ('a"b', "a\\b", "a\nb")],
    *[("author", f"a{mark}b", MARKS) for mark in ("\t", "\r", "\x00", "\x1b", "\x7f")],
    *[("author", f"a {mark} b", TEMPLATE) for mark in ("{{", "{%", "{{ cookiecutter.orcid }}")],
    *[(name, text, "it is empty") for name in ("project_name", "description", "author") for text in ("", "  ")],
]
"""Question, answer, reason."""

DEFAULTS = {
    "Müller": "m_ller",
    "3d-study": "study_3d_study",
    "test": "study_test",
    "numpy": "study_numpy",
    "scikit-learn": "study_scikit_learn",
    "class": "study_class",
    "王": "study",
    "_": "study",
    "42": "study_42",
    "My Waves": "my_waves",
    "--a..b__c, (d)!": "a_b_c_d",
    "\N{KELVIN SIGN}2": "k2",
    "study": "study",
    "my-study": "my_study",
}
"""Of a project's name, the default of its package's name."""
