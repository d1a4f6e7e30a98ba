"""Which pictures of a folder follow each other, by their names."""

import tensorflow as tf

from tfvideogan.data import sequences


def named(*parts: tuple[str, range]) -> list[str]:
    return [f"folder/{name.format(number)}" for name, numbers in parts for number in numbers]


class SequencesTest(tf.test.TestCase):
    def lengths(self, files: list[str]) -> list[tuple[str, int]]:
        return [(found.video, len(found.files)) for found in sequences.of_frames(files)]

    def test_one_video_is_one_sequence(self):
        for files in (
            named(("frame_{:04d}.png", range(1, 30))),
            named(("{}.png", range(5, 30, 5))),  # every fifth frame, unpadded
            [f"f/2024-06-22_12-{minute:02d}-{second:02d}.jpg" for minute in range(3) for second in (0, 20, 40)],
            ["f/a.png", "f/b.png", "f/c.png"],
            [f"f/{name}.png" for name in ("3fa9", "9c01", "b7", "e44d2")],  # hashes
            named(("clip7_{:03d}_640.png", range(9))),
        ):
            self.assertLen(sequences.of_frames(files), 1, files)
            self.assertEqual(sequences.of_frames(files)[0].files, tuple(files))

    def test_several_videos_in_one_folder(self):
        files = named(("run_a_{:04d}.png", range(1, 13)), ("run_b_{:04d}.png", range(4)), ("walk_{}.png", range(7)))
        self.assertEqual(self.lengths(files), [("run_a_#", 12), ("run_b_#", 4), ("walk_#", 7)])
        files = named(("clip1_{:03d}.png", range(9)), ("clip2_{:03d}.png", range(5)))
        self.assertEqual(self.lengths(files), [("clip1", 9), ("clip2", 5)])
        self.assertEqual(sequences.of_frames(files)[1].name, "clip2_000 to clip2_004")

    def test_videos_by_short_names_and_a_stray_frame(self):
        for names in (("v1_{:03d}.png", "v2_{:03d}.png"), ("001_{:04d}.png", "002_{:04d}.png")):
            files = named(*((name, range(8)) for name in names))
            self.assertEqual([length for _, length in self.lengths(files)], [8, 8], names)
        files = named(("clip1_{:03d}.png", range(8)), ("clip2_{:03d}.png", range(8)), ("clip3_{:03d}.png", range(1)))
        self.assertEqual([length for _, length in self.lengths(files)], [8, 8, 1])
        files = [f"f/{hour:02d}-{minute:02d}.jpg" for hour in (7, 8) for minute in range(0, 60, 10)]
        self.assertLen(sequences.of_frames(files), 1)

    def test_holes_are_found_in_the_number_that_varies_and_beside_a_second_format(self):
        files = named(("clip7_{:03d}_640.png", range(8)), ("clip7_{:03d}_640.png", range(500, 508)))
        self.assertEqual([length for _, length in self.lengths(files)], [8, 8])
        files = [*named(("{:04d}.png", range(4))), "folder/0003.jpg", *named(("{:04d}.png", range(500, 504)))]
        self.assertEqual([length for _, length in self.lengths(files)], [5, 4])

    def test_holes_divide_and_a_constant_step_does_not(self):
        files = named(("{:04d}.png", range(1, 7)), ("{:04d}.png", range(500, 506)))
        self.assertEqual(self.lengths(files), [("#", 6), ("#", 6)])
        files = named(("f{}.png", range(0, 40, 4)), ("f{}.png", range(80, 100, 4)))
        self.assertEqual(self.lengths(files), [("f#", 10), ("f#", 5)])


if __name__ == "__main__":
    tf.test.main()
