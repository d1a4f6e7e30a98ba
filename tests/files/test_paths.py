"""Names of files and folders, and folders that get their final name."""

import os
from pathlib import Path

import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.files import paths


class PathsTest(tf.test.TestCase):
    def test_names_that_cannot_be_read_are_refused(self):
        for name in ("http://example.org/a", "ftp://a/b", "gs://bucket", "gs://bucket/"):
            with self.subTest(name), self.assertRaises(UsageError):
                paths.path(name)

    def test_remote_names_stay_remote(self):
        self.assertTrue(paths.is_remote(paths.path("gs://bucket/folder") / "file"))
        self.assertFalse(paths.is_remote(paths.path("folder") / "file"))

    def test_a_pipe_is_no_file(self):
        """Whoever opens it to read would wait without end."""
        root = Path(self.create_tempdir().full_path)
        os.mkfifo(root / "pipe")
        (root / "file").touch()
        self.assertEqual([paths.is_file(root / name) for name in ("pipe", "file", "gone", ".")], [0, 1, 0, 0])

    def test_a_complete_folder_gets_its_final_name(self):
        root = Path(self.create_tempdir().full_path)
        (root / "unfinished" / "inner").mkdir(parents=True)
        (root / "unfinished" / "inner" / "file").write_text("content")
        paths.publish(root / "unfinished", paths.path(root / "final"))
        self.assertEqual((root / "final" / "inner" / "file").read_text(), "content")
        self.assertFalse((root / "unfinished").exists())

    def test_the_first_line_of_an_error_that_has_none_is_its_class(self):
        self.assertEqual(paths.first_line(ValueError(" one\ntwo")), "one")
        self.assertEqual(paths.first_line(KeyError()), "KeyError")
