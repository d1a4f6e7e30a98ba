"""What the tests share that run commands as a user does."""

import tensorflow as tf

from tests.helpers import folders
from tests.helpers.commands import run

TINY = ["--base_width=2", "--num_frames=4", "--batch_size=4", "--init_stddev=0.1"]


class CommandCase(tf.test.TestCase):
    """Its tests share the folder `runs`, whose name is not plain."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.runs = folders.of_class(cls, "tfvideogan commands é ")

    def succeed(self, command: str, *arguments: str) -> str:
        result = run(command, *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def refuse(self, expected: str, command: str, *arguments: str) -> None:
        """The command exits with status 2 and one line of standard error that holds `expected`."""
        with self.subTest(command=command, expected=expected):
            result = run(command, *arguments)
            lines = [line for line in result.stderr.splitlines() if not line.startswith("INFO:")]
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertLen(lines, 1, result.stderr)
            self.assertIn(expected, lines[0])
            self.assertStartsWith(lines[0], f"{command}: error: ")
            self.assertEqual(result.stdout, "")
