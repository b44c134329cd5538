"""Cookiecutter runs this once all is answered: what copier.yml would refuse (by templates/checks) is refused here."""

import re
import sys

ANSWERS = {{dict(cookiecutter) | pprint}}

TAKEN = " ".join(ANSWERS["_taken"]).split()
"""What the package's name may not hide: Python's modules and words, and what else an environment has."""


def text(value):
    if not value.strip():
        return "it is empty"
    if re.search(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]', value):
        return "it has a quotation mark, a backslash or a control character, which would break some file: leave it out"
    if "{" + "{" in value or "{" + "%" in value:
        return "it has the marks of a template: leave them out"
    return ""


def package_name(value):
    if not re.fullmatch("[a-z]([a-z0-9_]*[a-z0-9])?", value):
        return (
            f'"{value}" is no name of a package: a small letter, then small letters and digits, with _ between, '
            "as in my_study"
        )
    if value in TAKEN:
        return (
            f'"{value}" would hide the package, module or word of Python of that name: take another, as in my_{value}'
        )
    return ""


def orcid(value):
    if not value:
        return ""
    if not re.fullmatch("([0-9]{4}-){3}[0-9]{3}[0-9X]", value):
        return f'"{value}" is no ORCID iD: four groups of four digits, as in 0000-0002-1825-0097, or nothing'
    total = 0
    for digit in value.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    if value[-1] != "0123456789X"[(12 - total % 11) % 11]:
        return f'"{value}" is no ORCID iD: its last digit does not fit the others, so one of them is wrong'
    return ""


def project_slug(value):
    return (
        ""
        if re.fullmatch("[a-z]([a-z0-9-]*[a-z0-9])?", value)
        else f'"{value}": small letters, digits and - only, as in my-study'
    )


CHECKS = {
    "project_name": text,
    "package_name": package_name,
    "description": text,
    "author": text,
    "orcid": orcid,
    "project_slug": project_slug,
}

refused = {name: reason for name, check in CHECKS.items() if (reason := check(ANSWERS[name]))}
for name, reason in refused.items():
    print(f"{name}: {reason}", file=sys.stderr)
if refused:
    print("Nothing was made. The same command asks again.", file=sys.stderr)
    sys.exit(1)
