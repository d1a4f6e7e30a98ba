"""Pictures for people: what stands where, pixel by pixel."""

import numpy as np
import tensorflow as tf

from tfvideogan.inference import visuals

GAP, SHADE, RED = 2, 24, (255, 40, 40)


def flat(*shape: int) -> np.ndarray:
    """Clips uint8 [..., 4, 4, 3], each frame of its own grey from 30 on."""
    greys = 30 + 7 * np.arange(np.prod(shape)).reshape(*shape, 1, 1, 1)
    return np.broadcast_to(greys, (*shape, 4, 4, 3)).astype(np.uint8)


def red(image: np.ndarray) -> np.ndarray:
    return (image == RED).all(axis=-1)


class GridTest(tf.test.TestCase):
    def test_as_square_as_can_be(self):
        for clips, columns, (rows, expected) in (
            (1, None, (1, 1)), (4, None, (2, 2)), (5, None, (2, 3)), (7, None, (3, 3)), (5, 5, (1, 5)), (5, 2, (3, 2)),
        ):  # fmt: skip
            with self.subTest(clips=clips, columns=columns):
                shape = visuals.grid(flat(clips, 2), columns).shape
                self.assertEqual(shape, (2, rows * (4 + GAP), expected * (4 + GAP), 3))

    def test_small_clips_are_enlarged_up_to_four_times_within_the_width(self):
        for side, width, zoom in ((16, 0, 1), (16, 800, 4), (16, 100, 3), (64, 800, 4), (256, 800, 1), (300, 100, 1)):
            clips = np.zeros([4, 1, side, side, 3], np.uint8)
            with self.subTest(side=side, width=width):
                self.assertEqual(visuals.grid(clips, width=width).shape, (1, *[2 * (side * zoom + 2)] * 2, 3))

    def test_tiles_row_by_row_and_shade_elsewhere(self):
        clips = flat(5, 3)
        expected = np.full([3, 2 * 6, 3 * 6, 3], SHADE, np.uint8)
        for i, clip in enumerate(clips):
            top, left = i // 3 * 6, i % 3 * 6
            expected[:, top : top + 4, left : left + 4] = clip
        self.assertAllEqual(visuals.grid(clips), expected)


class RowsTest(tf.test.TestCase):
    def outputs(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        clip, foreground = rng.uniform(-1, 1, (2, 2, 3, 4, 4, 3))
        background, mask = rng.uniform(-1, 1, (2, 1, 4, 4, 3)), rng.uniform(0, 1, (2, 3, 4, 4, 1))
        return {"clip": clip, "foreground": foreground, "background": background, "mask": mask}

    def test_streams_by_hand(self):
        pixel = {
            "clip": [0.6, -0.6, 1.0],
            "foreground": [1.0, -1.0, 0.6],
            "background": [-1.0, 0.2, 1.0],
            "mask": [0.2],
        }
        shown = visuals.streams({name: np.reshape(value, [1, 1, 1, 1, -1]) for name, value in pixel.items()})
        expected = {
            "clip": [204, 51, 255],
            "foreground": [255, 0, 204],
            "mask": [51, 51, 51],  # white is 1
            "masked_foreground": [51, 0, 41],  # a fifth of the foreground's light, 40.8 rounded
            "background": [0, 153, 255],
        }
        self.assertEqual(list(shown), list(expected))
        for name, value in expected.items():
            with self.subTest(name):
                self.assertAllEqual(shown[name].ravel(), value)

    def test_streams_are_clips_of_one_shape(self):
        outputs = self.outputs()
        shown = visuals.streams(outputs)
        for name, clip in shown.items():
            self.assertEqual((name, clip.shape, clip.dtype), (name, (2, 3, 4, 4, 3), np.uint8))
        light = outputs["mask"] * (outputs["foreground"] + 1) / 2  # 0 is black
        self.assertAllClose(shown["masked_foreground"].astype(float), 255 * light, atol=0.501)
        self.assertAllEqual(shown["background"][:, 0], shown["background"][:, 2])

    def test_a_generator_of_one_stream_shows_its_clip(self):
        self.assertEqual(list(visuals.streams({"clip": self.outputs()["clip"]})), ["clip"])

    def test_rows_of_samples(self):
        clip, real = self.outputs()["clip"], self.outputs()["foreground"]
        self.assertEqual(list(visuals.sample_rows({"clip": clip}, real)), ["real", "clip"])
        rows = visuals.sample_rows({"clip": clip, "base": -clip}, real)
        self.assertEqual(list(rows), ["real", "stage 1", "stage 2"])
        for name, values in (("real", real), ("stage 1", -clip), ("stage 2", clip)):
            self.assertAllClose(rows[name].astype(float), 127.5 * (values + 1), atol=0.501)

    def test_rows_of_stages(self):
        clip, image, real = self.outputs()["clip"], flat(1)[0], flat(3)
        rows = visuals.stage_rows({"clip": clip, "base": -clip}, image, real)
        self.assertEqual(list(rows), ["input", "stage 1", "stage 2", "real"])
        self.assertEqual({row.shape for row in rows.values()}, {(3, 4, 4, 3)})
        self.assertAllEqual(rows["input"][2], image)
        self.assertEqual(list(visuals.stage_rows({"clip": clip}, image, None)), ["input", "stage 1"])

    def test_labelled_rows_enlarge_and_stand_below_each_other(self):
        rows = {"real": flat(2, 3), "masked_foreground": 255 - flat(2, 3)}
        sheet = visuals.labelled_rows(rows, tile=9)  # twice: 8 pixels
        labels = sheet.shape[2] - 2 * (8 + GAP)
        self.assertEqual(sheet.shape[:2], (3, 2 * (8 + GAP)))
        for row, clips in enumerate(rows.values()):
            for column, clip in enumerate(clips):
                top, left = row * (8 + GAP), labels + column * (8 + GAP)
                self.assertAllEqual(sheet[:, top : top + 8, left : left + 8], clip.repeat(2, axis=1).repeat(2, axis=2))
        self.assertGreater(sheet[0, :, :labels].max(), 200)  # white names


class DifferingRegionTest(tf.test.TestCase):
    def test_by_hand(self):
        a = np.full([10, 10, 3], 250, np.uint8)
        b = a.copy()
        b[4:7, 2:5] = 5  # a window of 3 pixels, the share of 0.3, filled: right and bottom are inside
        b[0, 9] = 245
        self.assertEqual(visuals.differing_region(a, b), (2, 4, 4, 6))
        self.assertEqual(visuals.differing_region(b, a), (2, 4, 4, 6))

    def test_equal_pictures_have_none(self):
        self.assertIsNone(visuals.differing_region(flat(1)[0], flat(1)[0]))

    def test_no_window_differs_more(self):
        a, b = np.random.default_rng(0).integers(0, 256, [2, 20, 20, 3], np.uint8)
        for share, side in ((0.1, 2), (0.3, 6), (1.0, 20)):
            with self.subTest(share=share):
                left, top, right, bottom = visuals.differing_region(a, b, share)
                self.assertEqual((right - left, bottom - top), (side - 1, side - 1))
                difference = np.abs(a.astype(float) - b)
                starts = range(20 - side + 1)
                best = max(difference[y : y + side, x : x + side].sum() for y in starts for x in starts)
                self.assertEqual(difference[top : top + side, left : left + side].sum(), best)


class ComparisonSheetTest(tf.test.TestCase):
    SIZE, TIMES = 40, 4

    def rows(self) -> dict[str, np.ndarray]:
        rows = {
            name: np.full([self.TIMES, self.SIZE, self.SIZE, 3], 90, np.uint8) for name in ("input", "stage 1", "real")
        }
        rows["stage 2"] = rows["stage 1"].copy()
        rows["stage 2"][2, 10:22, 20:32] = 200  # frame 3 alone; 12 pixels are the share of 0.3
        return rows

    def tiles(self, sheet: np.ndarray, rows: int) -> tuple[np.ndarray, int, int]:
        """The pictures [row, column, H, W, 3], and the height of the header and the width of the labels."""
        step = self.SIZE + GAP
        top, left = sheet.shape[0] - rows * step, sheet.shape[1] - self.TIMES * step
        body = sheet[top:, left:].reshape(rows, step, self.TIMES, step, 3).swapaxes(1, 2)
        return body[:, :, : self.SIZE, : self.SIZE], top, left

    def test_a_red_ring_at_the_differing_region_and_nowhere_else(self):
        rows = self.rows()
        sheet = visuals.comparison_sheet(rows, self.TIMES, tile=self.SIZE)
        tiles, _, _ = self.tiles(sheet, len(rows))
        ringed = red(tiles)
        for row, name in enumerate(rows):
            for column in range(self.TIMES):
                with self.subTest(row=name, column=column):
                    if not (name.startswith("stage") and column == 2):
                        self.assertFalse(ringed[row, column].any())
                        self.assertAllEqual(tiles[row, column], rows[name][column])
                        continue
                    y, x = np.nonzero(ringed[row, column])
                    self.assertEqual((x.min(), y.min(), x.max(), y.max()), (20, 10, 31, 21))
                    self.assertFalse(ringed[row, column, 14:18, 24:28].any())  # a ring, no disc
                    self.assertAllEqual(
                        tiles[row, column][~ringed[row, column]], rows[name][column][~ringed[row, column]]
                    )
        self.assertEqual(red(sheet).sum(), ringed.sum())

    def test_one_stage_has_nothing_to_compare(self):
        rows = self.rows()
        del rows["stage 2"]
        self.assertFalse(red(visuals.comparison_sheet(rows, self.TIMES, tile=self.SIZE)).any())

    def test_columns_are_spread_from_the_first_frame_to_the_last(self):
        clip = np.broadcast_to((10 * np.arange(10, dtype=np.uint8))[:, None, None, None], (10, self.SIZE, self.SIZE, 3))
        sheet = visuals.comparison_sheet({"real": clip}, self.TIMES, tile=self.SIZE)
        tiles, top, left = self.tiles(sheet, 1)
        self.assertAllEqual(tiles[0, :, 0, 0, 0], [0, 30, 60, 90])
        self.assertGreater(top, 0)
        self.assertGreater(sheet[:top].max(), 200)  # white titles
        self.assertGreater(sheet[top:, :left].max(), 200)  # white names

    def test_small_pictures_are_enlarged(self):
        sheet = visuals.comparison_sheet({"real": flat(2)}, times=8, tile=self.SIZE)
        step = self.SIZE + GAP
        right = sheet[-step:-GAP, -step:-GAP]
        self.assertAllEqual(right, np.full([self.SIZE, self.SIZE, 3], flat(2)[1, 0, 0, 0]))
