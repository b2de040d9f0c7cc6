#!/usr/bin/env python3
"""The guides in docs/ show what runs: their Python stands in the examples, their first runs pass.

    target/python-examples/bin/python examples/first-steps/test_first_steps.py

Needs the programs of the workspace, built (target/debug), and the environment that examples/python-setup.py makes.
"""
import os
import pathlib
import re
import subprocess
import sys
import unittest

FILE = pathlib.Path(__file__).resolve()
ROOT = FILE.parent.parent.parent
BIN = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute() / "debug"
FOLDER = FILE.parent
ENGINE = f"stdio:{sys.executable} {FOLDER}/engine.py"
HOST = f"host-stdio:{sys.executable} {FOLDER}/adapter.py"
GUIDES = ["implementing-an-engine.md", "implementing-a-host.md"]


def conformance(*arguments):
    done = subprocess.run([BIN / "conformance", "run", *arguments], stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout.splitlines()[-1:], done.stdout


def stripped(code):
    """Without indentation, so that a piece of it can be found."""
    return "\n".join(line.strip() for line in code.splitlines()) + "\n"


class Guides(unittest.TestCase):
    def test_what_they_show_stands_in_the_examples(self):
        sources = stripped("\n".join(path.read_text() for path in (ROOT / "examples").rglob("*.py") if path != FILE))
        for guide in GUIDES:
            blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / guide).read_text(), re.S)
            self.assertTrue(blocks, guide)
            for block in blocks:
                self.assertTrue(stripped(block) in sources, f"{guide} shows what no example has:\n{block}")

    def test_what_they_link_to_is_there(self):
        for guide in GUIDES:
            for target in re.findall(r"\]\(([^)#]+)", (ROOT / "docs" / guide).read_text()):
                self.assertTrue((ROOT / "docs" / target).exists(), f"{guide}: {target}")


class FirstRuns(unittest.TestCase):
    def test_the_engine_passes_what_its_stage_promises(self):
        status, last, output = conformance("--impl", ENGINE, "--jobs", "2", "init/**", "close/**", "values/text/**")
        self.assertEqual(status, 0, output)
        self.assertRegex(last[0], r"^\d+ passed, 0 failed")

    def test_the_host_passes_everything_that_applies(self):
        status, _, output = conformance("--impl", HOST)
        self.assertEqual(status, 0, output)
        ran, not_applicable = map(int, re.search(r"(\d+) cases ran in .*?, (\d+) not applicable", output).groups())
        guide = (ROOT / "docs" / "implementing-a-host.md").read_text()
        self.assertIn(f"`{ran} cases ran, {not_applicable} not applicable`", guide)

    def test_the_host_with_our_engine(self):
        status, _, output = conformance("--impl", HOST, "--engine", f"stdio:{BIN}/lix-engine serve --stdio")
        self.assertEqual(status, 0, output)


if __name__ == "__main__":
    unittest.main()
