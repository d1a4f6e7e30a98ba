"""Clips and their classes: folders, UCF101's lists, shares of the labels."""

import numpy as np
import tensorflow as tf

from tests.data.case import FolderTest
from tests.helpers.made_files import numbered, numbers, write_pictures, write_video
from tfvideogan.config import UsageError
from tfvideogan.data import labelled
from tfvideogan.data.labelled import LabelledClips, open_labelled


class LabelledTest(FolderTest):
    def opened(self, **options) -> labelled.LabelledData:
        return open_labelled(str(self.root), 16, 4, **options)

    def write(self, *names: str, frames: int = 4) -> None:
        for grey, name in enumerate(names):
            write_video(self.root / name, numbered([grey % 10] * frames))

    def found(self, part: LabelledClips) -> list[tuple[int, int]]:
        """(the number that the first frame of a clip shows, its label) of each clip."""
        return [(numbers(part.clips[i])[0], int(label)) for i, label in zip(part.numbers, part.labels, strict=True)]

    def test_a_folder_is_a_class_and_the_last_fifth_of_its_videos_is_for_testing(self):
        self.write("run/a.mp4", "run/b.mp4", "walk/a.mp4", "walk/b.mp4", "walk/c.mp4", frames=8)
        data = self.opened()
        self.assertEqual(data.classes, ("run", "walk"))
        self.assertEqual(self.found(data.train), [(0, 0), (0, 0), (2, 1), (2, 1), (3, 1), (3, 1)])
        self.assertEqual(self.found(data.test), [(1, 0), (1, 0), (4, 1), (4, 1)])
        self.assertLen(self.opened(first_only=True).train, 3)
        self.assertLen(self.opened(stride=2).train, 9)

    def test_parts_of_one_video_of_ucf101_stay_together(self):
        names = [f"{kind}/v_{kind}_g0{group}_c0{part}.avi" for kind in "AB" for group in (1, 2) for part in (1, 2)]
        for number, name in enumerate(names):
            write_video(self.root / name, numbered([number] * 4), "mpeg4")
        data = self.opened()
        self.assertEqual(self.found(data.test), [(2, 0), (3, 0), (6, 1), (7, 1)])

    def test_the_lists_say_what_is_learned_from_and_tested_on(self):
        self.write("A/a.mp4", "A/b.mp4", "A/c.mp4", "B/a.mp4", "B/b.mp4")
        train, test = self.root / "trainlist01.txt", self.root / "testlist01.txt"
        train.write_text("A/b.mp4 1\nB/b.mp4 2\n")
        test.write_text("\ufeffA/a.mp4\nB/a.mp4\nB/gone.mp4\n\n")
        lists = str(train), str(test)
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            data = self.opened(lists=lists)
        self.assertIn("1 video of the lists cannot be used, the first: B/gone.mp4", logs.output[0])
        self.assertEqual((self.found(data.train), self.found(data.test)), ([(1, 0), (4, 1)], [(0, 0), (3, 1)]))
        test.write_bytes("A\\a.mp4 1\r\nB\\a.mp4,2\r\n".encode("utf-16"))  # as Windows writes it
        self.assertEqual(self.found(self.opened(lists=lists).test), [(0, 0), (3, 1)])
        test.write_text("A/b.mp4\n")
        with self.assertRaisesRegex(UsageError, r"must not share a video. Received: A/b\.mp4"):
            self.opened(lists=lists)
        for content, message in ((b"\n \n", "--test_list must name videos"), (b"\xff", "--test_list cannot be read")):
            test.write_bytes(content)
            with self.assertRaisesRegex(UsageError, message):
                self.opened(lists=lists)

    def test_one_video_a_class_is_tested_on_its_last_clips_with_a_warning(self):
        write_video(self.root / "again.mp4", numbered(range(8)))
        write_pictures(self.root / "book", numbered(range(12)))
        with self.assertLogs("tfvideogan.data.labelled", "WARNING") as logs:
            data = self.opened()
        self.assertIn("a single video", logs.output[0])
        self.assertEqual(data.classes, ("again", "book"))
        self.assertEqual((self.found(data.train), self.found(data.test)), ([(0, 0), (0, 1), (4, 1)], [(4, 0), (8, 1)]))

    def test_what_cannot_be_classified_is_refused(self):
        self.write("A/a.mp4", "A/b.mp4")
        with self.assertRaisesRegex(UsageError, "--data must have two classes or more.*Received: A, 1 to test on"):
            self.opened()
        self.write("B/a.mp4")
        train, test = self.root / "train.txt", self.root / "test.txt"
        train.write_text("A/a.mp4")
        test.write_text("B/a.mp4")
        with self.assertRaisesRegex(UsageError, "B without any to learn from"):
            self.opened(lists=(str(train), str(test)))
        with self.assertRaisesRegex(UsageError, "--data must be synthetic:moves"):
            open_labelled("synthetic:sky", 16, 4)


class ShareTest(tf.test.TestCase):
    def test_every_class_gives_its_share_and_more_contains_less(self):
        labels = np.repeat([0, 1, 2], [40, 16, 3])
        part = LabelledClips([], np.arange(100, 159), labels)
        shares = {share: part.share(share, seed=1) for share in (0.125, 0.25, 0.5, 1.0)}
        counts = {share: np.bincount(found.labels).tolist() for share, found in shares.items()}
        self.assertEqual(counts, {0.125: [5, 2, 1], 0.25: [10, 4, 1], 0.5: [20, 8, 2], 1.0: [40, 16, 3]})
        for less, more in ((0.125, 0.25), (0.25, 0.5), (0.5, 1.0)):
            self.assertContainsSubset(shares[less].numbers, shares[more].numbers)
        self.assertAllEqual(labels[shares[0.5].numbers - 100], shares[0.5].labels)
        self.assertNotAllEqual(part.share(0.5, seed=2).numbers, shares[0.5].numbers)

    def test_built_in_motions(self):
        data = open_labelled("synthetic:moves", 16, 4, seed=3)
        self.assertLen(data.classes, 8)
        self.assertAllEqual(data.test.labels[:9], [*range(8), 0])
        self.assertNotAllEqual(data.train.clips[0], data.test.clips[0])


if __name__ == "__main__":
    tf.test.main()
