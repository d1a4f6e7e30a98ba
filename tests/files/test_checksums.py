"""Checksums of files and of folders, against hashlib by hand."""

import hashlib
from pathlib import Path

import tensorflow as tf

from tfvideogan.files import checksums


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class ChecksumsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        (self.folder / "inner").mkdir()
        (self.folder / "inner" / "a").write_bytes(b"first")
        (self.folder / "b").write_bytes(b"second")

    def test_a_file_by_its_content(self):
        self.assertEqual(checksums.sha256(self.folder / "b"), digest(b"second"))
        self.assertEqual(checksums.sha256_of_tree(self.folder / "b"), digest(b"second"))
        self.assertEqual(checksums.files_of_tree(self.folder / "b"), [self.folder / "b"])

    def test_a_folder_by_the_names_and_contents_of_its_files(self):
        lines = f"{digest(b'second')}  b\n{digest(b'first')}  inner/a\n"
        self.assertEqual(checksums.sha256_of_tree(self.folder), digest(lines.encode()))
        (self.folder / "b").rename(self.folder / "c")
        self.assertNotEqual(checksums.sha256_of_tree(self.folder), digest(lines.encode()))


if __name__ == "__main__":
    tf.test.main()
