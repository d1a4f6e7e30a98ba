"""docs/fidelity.md names files, functions and tests: each of them exists, or the page has gone stale."""

import ast
import functools
import re
from pathlib import Path

import tensorflow as tf

from tests.helpers import ROOT
from tfvideogan import config

PAGE = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
REFERENCE = re.compile(r"`([\w/]+\.py)(?:::([\w.]+))?`")


@functools.cache
def names(file: Path) -> set[str]:
    """What a module defines: functions, classes and constants, and methods as Class.method and by themselves."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.ClassDef):
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            found |= {f"{node.name}.{method}" for method in methods} | methods
    return found


def file_of(path: str) -> Path:
    """Where a file that the page names lies: among the tests if it is there, or else in the package."""
    return ROOT / "tests" / path if (ROOT / "tests" / path).exists() else ROOT / "tfvideogan" / path


class FidelityTest(tf.test.TestCase):
    def test_all_that_the_page_names_exists(self):
        references = REFERENCE.findall(PAGE)
        self.assertGreater(len(references), 80)
        for path, name in references:
            with self.subTest(path=path, name=name):
                self.assertTrue(file_of(path).is_file())
                if name:
                    self.assertIn(name, names(file_of(path)))

    def test_every_statement_has_its_place_and_its_test(self):
        rows = re.findall(r"^\| \*\*[PCD]\*\* .*$", PAGE, re.MULTILINE)
        self.assertGreater(len(rows), 40)
        for row in rows:
            statement, where, tests = (cell.strip() for cell in re.split(r" \| ", row.strip("| ")))
            with self.subTest(statement):
                self.assertNotEmpty(REFERENCE.findall(where))
                self.assertTrue(any(name.startswith("test_") for _, name in REFERENCE.findall(tests)))

    def test_options_for_what_is_unverified_exist(self):
        flags = set(re.findall(r"`--(\w+)`", PAGE.partition("## What could not be verified")[2]))
        self.assertNotEmpty(flags)
        self.assertLessEqual(flags, {field.name for field in config.fields()})


if __name__ == "__main__":
    tf.test.main()
