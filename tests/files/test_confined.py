"""The frames that a process with limits answers in. What it does with inputs is in tests/data/test_worker.py."""

import io
import os
import pickle
from pathlib import Path
from unittest import mock

import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.files import framed
from tfvideogan.files.confined import Confined, Limits
from tfvideogan.files.framed import Answer


class FramedAnswersTest(tf.test.TestCase):
    def test_what_is_no_answer_is_refused_and_never_run(self):
        """Of pickles, of lengths that nothing has, and of answers that are cut off."""
        canary = Path(self.create_tempdir().full_path) / "canary"

        class Evil:
            def __reduce__(self):
                return Path.touch, (canary,)

        frame = framed.FRAME
        for content in (
            pickle.dumps(Evil()),
            frame.pack(b"A", 0, 2**40),
            frame.pack(b"X", 0, 0),
            frame.pack(b"A", 0, 100) + bytes(99),
            b"A",
        ):
            with self.subTest(content[:20]), self.assertRaises((EOFError, ValueError)):
                framed.received(io.BytesIO(content))
        self.assertFalse(canary.exists())

    def test_the_kinds_of_answers(self):
        def received(kind: bytes, content: bytes = b""):
            return framed.received(io.BytesIO(framed.FRAME.pack(kind, 7, len(content)) + content))

        self.assertEqual(received(b"A", b"abc"), Answer(b"abc", 7))
        self.assertEqual(received(b"W", "é".encode()), "é")
        self.assertIsInstance(received(b"E", b"why"), UsageError)
        self.assertEqual(str(received(b"E", b"why\xff")), "why\ufffd")
        self.assertIsNone(received(b"N"))


class ProcessTest(tf.test.TestCase):
    def test_ctrl_c_is_left_to_the_parent_from_the_first_import_on(self):
        """The module is interrupted while it is imported, and when it answers."""
        folder = Path(self.create_tempdir().full_path)
        interrupt = "os.kill(os.getpid(), signal.SIGINT)"
        (folder / "interrupted.py").write_text(
            f"import os, signal\n{interrupt}\nfrom tfvideogan.files import confined\n"
            f"def work(request):\n    {interrupt}\n    yield confined.Answer(request, 0)\n"
            "def main():\n    confined.serve(lambda _: work)\n"
        )
        path = mock.patch.dict(os.environ, PYTHONPATH=str(folder))
        with path, Confined("interrupted", None, Limits(60, 512)) as process:
            self.assertEqual(list(process.answers(b"abc", "a")), [Answer(b"abc", 0)])


class LimitsTest(tf.test.TestCase):
    def test_flags_are_named_where_they_have_set_the_limits(self):
        self.assertEqual([Limits(0.5, 64).of_time(), Limits(0.5, 64).of_memory()], ["0.5 s", "64 MB"])
        limits = Limits(5, 64, by_flags=True)
        self.assertEqual(
            [limits.of_time(), limits.of_memory()], ["the 5 s of --time_limit", "the 64 MB of --memory_limit"]
        )


if __name__ == "__main__":
    tf.test.main()
