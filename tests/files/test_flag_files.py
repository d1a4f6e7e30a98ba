"""Flag files as editors save them, within each other, and those that come with the package."""

from pathlib import Path

import tensorflow as tf

from tests.helpers import ROOT
from tfvideogan.config import UsageError
from tfvideogan.files import flag_files


class FlagFilesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def write(self, text: str, encoding: str = "utf-8", name: str = "a.flags") -> str:
        (self.folder / name).write_bytes(text.encode(encoding))
        return str(self.folder / name)

    def test_flags_stand_where_their_file_was_named(self):
        file = self.write("# a comment\n\n  --steps=3  \r\n// another\n--data=Größe, 2\n")
        flags = ["--steps=3", "--data=Größe, 2"]
        for given in ([f"--flagfile={file}"], ["--flagfile", file], [f"-flagfile={file}"]):
            self.assertEqual(flag_files.expand(["train", "--a=1", *given, "--b"]), ["train", "--a=1", *flags, "--b"])

    def test_what_stands_behind_two_dashes_is_no_flag(self):
        self.assertEqual(flag_files.expand(["train", "--", "--flagfile=none"]), ["train", "--", "--flagfile=none"])

    def test_a_byte_order_mark_is_no_part_of_the_first_line(self):
        for text in ("# a comment\n--steps=3", "--steps=3"):
            file = self.write(text, "utf-8-sig")
            self.assertEqual(flag_files.expand([f"--flagfile={file}"]), ["--steps=3"])

    def test_files_in_other_encodings_are_refused_by_name(self):
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "latin-1"):
            file = self.write("--data=Größe" if encoding == "latin-1" else "--steps=3\n", encoding)
            with self.subTest(encoding), self.assertRaisesRegex(UsageError, f"--flagfile must be .* UTF-8.*'{file}'$"):
                flag_files.expand([f"--flagfile={file}"])

    def test_files_that_cannot_be_read_are_refused_by_name(self):
        for file in (self.folder / "none.flags", self.folder):
            with self.subTest(file), self.assertRaisesRegex(UsageError, f"--flagfile: .*'{file}'$"):
                flag_files.expand([f"--flagfile={file}"])

    def test_a_file_may_name_another_but_not_itself(self):
        inner = self.write("--steps=3\n")
        outer = self.write(f"--seed=1\n--flagfile={inner}\n--seed=2\n", name="outer.flags")
        again = ["--seed=1", "--steps=3", "--seed=2"]
        self.assertEqual(flag_files.expand([f"--flagfile={outer}", f"--flagfile={outer}"]), again * 2)
        self.write(f"--flagfile={outer}\n")
        with self.assertRaisesRegex(UsageError, f"must not name itself. Received: '{outer}'$"):
            flag_files.expand([f"--flagfile={outer}"])

    def test_the_packaged_files_are_those_of_configs(self):
        self.assertEqual({*flag_files.packaged().values()}, {*(ROOT / "configs").iterdir()})
        self.assertEqual(flag_files.find("mdgan_small"), ROOT / "configs" / "mdgan_small.flags")
        with self.assertRaisesRegex(UsageError, "^--config must be .* one of mdgan, .*vgan_sprites. Received: 'x'$"):
            flag_files.find("x")


if __name__ == "__main__":
    tf.test.main()
