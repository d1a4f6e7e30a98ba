"""Videos on disk, through the real FFmpeg."""

import itertools
import os
import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import made_files
from tfvideogan.config import UsageError
from tfvideogan.files import pictures, videos


class ReadTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def test_what_is_missing_or_of_another_kind(self):
        for name, content in (("text.mp4", b"Once upon a time.\n" * 50), ("empty.mp4", b"")):
            (self.folder / name).write_bytes(content)
        for name, message in (("gone.mp4", "no such file"), ("text.mp4", ""), ("empty.mp4", "")):
            with self.subTest(name), self.assertRaisesRegex(UsageError, f"{name}.*{message}"):
                list(videos.read_video(self.folder / name, pictures.squash(16)))

    def test_what_a_playlist_names_is_never_opened(self):
        """The pipe has no writer: whoever opened it would wait for ever."""
        os.mkfifo(self.folder / "pipe.ts")
        for name, text in (
            ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\npipe.ts\n#EXT-X-ENDLIST\n"),
            ("a.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\npipe.ts\n#EXT-X-ENDLIST\n"),
            ("b.mp4", "ffconcat version 1.0\nfile pipe.ts\n"),
            ("c.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"),
        ):
            (self.folder / name).write_text(text)
            start = time.monotonic()
            with self.subTest(name), self.assertRaisesRegex(UsageError, name):
                list(videos.read_video(self.folder / name, pictures.squash(16)))
            self.assertLess(time.monotonic() - start, 5)

    def test_a_video_is_turned_as_its_camera_says(self):
        frames = np.zeros([4, 32, 32, 3], np.uint8)
        frames[:, :, :16] = 255  # white on the left
        path = made_files.write_video(self.folder / "phone.mp4", frames)
        content = path.read_bytes()
        matrix = content.index(b"tkhd") + 44  # a quarter to the right: (x, y) -> (-y, x)
        one = 1 << 16
        turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, 32 * one, 0, 1 << 30)
        path.write_bytes(content[:matrix] + turned + content[matrix + 36 :])
        for frame in videos.read_video(path, pictures.squash(32)):
            self.assertAllClose([frame[:14].mean(), frame[18:].mean()], [255, 0], atol=3)  # white on top

    def test_all_eight_ways_that_a_display_matrix_turns_and_mirrors(self):
        """The matrix maps a pixel (x, y) to (a x + c y, b x + d y); four grey corners tell where each one went."""
        frames = np.zeros([2, 32, 48, 3], np.uint8)
        frames[:, :16, :24], frames[:, :16, 24:], frames[:, 16:, :24] = 60, 120, 180
        corners = {(-1, -1): 60, (1, -1): 120, (-1, 1): 180, (1, 1): 0}  # by the signs of x and y, from the middle
        path = made_files.write_video(self.folder / "phone.mp4", frames)
        content = path.read_bytes()
        place, one = content.index(b"tkhd") + 44, 1 << 16
        for a, b, c, d in ((1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
                           (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0)):  # fmt: skip
            matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
            path.write_bytes(content[:place] + matrix + content[place + 36 :])
            shown = next(videos.read_video(path, lambda width, height: (width, height))).astype(int)
            self.assertEqual(shown.shape, (32, 48, 3) if a else (48, 32, 3))
            for (x, y), level in corners.items():
                across, down = a * x + c * y, b * x + d * y
                found = shown[4 if down < 0 else -5, 4 if across < 0 else -5].mean()
                self.assertNear(found, level, 4, f"matrix {a, b, c, d}, corner {x, y}")

    def test_pixels_that_are_not_square_are_drawn_as_they_are_shown(self):
        y, x = np.mgrid[:64, :80]
        disc = np.uint8(255 * (((x - 40) * 1.6) ** 2 + (y - 32) ** 2 < 24**2))
        path = self.folder / "wide.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"crf": "5"})
            stream.height, stream.width, stream.pix_fmt = 64, 80, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(8, 5)
            for _ in range(3):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(disc[..., None], 3, -1), format="rgb24")))
            out.mux(stream.encode())
        shown = next(videos.read_video(path, pictures.short_side(64)))
        self.assertEqual(shown.shape, (64, 128, 3))
        bright = shown[..., 0] > 128
        self.assertNear(bright.any(0).sum(), bright.any(1).sum(), 3)  # a circle

    def test_pixels_of_a_turned_video_are_stretched_before_it_is_turned(self):
        """Stored are 32 x 32 pixels twice as wide as high, shown as 64 x 32, and turned by 90 degrees as 32 x 64.

        The stream tells the shape of its pixels, or the container does, which goes first.
        """
        for of_stream, of_container in (
            (Fraction(2, 1), None),
            (None, Fraction(2, 1)),
            (Fraction(1, 2), Fraction(2, 1)),
        ):
            path = self.folder / "turned.mp4"
            with av.open(str(path), "w") as out:
                stream = out.add_stream("libx264", rate=25, options={"crf": "5"})
                stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
                stream.codec_context.sample_aspect_ratio = of_stream or Fraction(0, 1)
                frame = np.zeros([32, 32, 3], np.uint8)
                frame[:, :16] = 255  # white on the left, and above once it is turned clockwise
                for _ in range(3):
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                out.mux(stream.encode())
            if of_container:
                path = self.told_by_the_container(path, of_container)
            content, one = path.read_bytes(), 1 << 16
            place = content.index(b"tkhd") + 44
            turn = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
            path.write_bytes(content[:place] + turn + content[place + 36 :])
            shown = next(videos.read_video(path, lambda width, height: (width, height)))
            self.assertEqual(shown.shape, (64, 32, 3), (of_stream, of_container))
            self.assertGreater(shown[4:28].mean(), 240)
            self.assertLess(shown[36:60].mean(), 15)

    def told_by_the_container(self, path: Path, aspect: Fraction) -> Path:
        """A copy of a video whose container says how wide its pixels are."""
        copy = path.with_name(f"copy {path.name}")
        with av.open(str(path)) as source, av.open(str(copy), "w") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            stream.sample_aspect_ratio = aspect
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
        return copy

    def test_what_is_transparent_lies_on_paper(self):
        """Under transparent pixels there is red, which nobody is meant to see."""
        colours = np.zeros([8, 8, 4], np.uint8)
        colours[:, :4] = 255, 0, 0, 0
        colours[:, 4:] = 0, 0, 200, 255
        path = self.folder / "alpha.mov"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("png", rate=10)
            stream.height, stream.width, stream.pix_fmt = 8, 8, "rgba"
            for _ in range(2):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(colours, format="rgba")))
            out.mux(stream.encode())
        Image.fromarray(colours).save(
            self.folder / "alpha.gif", save_all=True, append_images=[Image.fromarray(colours)]
        )
        for name in ("alpha.mov", "alpha.gif"):
            frame = next(videos.read_video(self.folder / name, pictures.squash(8)))
            self.assertAllClose(frame[:, :3].astype(int), np.full([8, 3, 3], 255), atol=2, msg=name)
            self.assertAllClose(frame[:, 5:].astype(int), np.broadcast_to([0, 0, 200], [8, 3, 3]), atol=4, msg=name)

    def test_an_attached_cover_is_not_the_video(self):
        path = self.folder / "cover.mp4"
        with av.open(str(path), "w") as out:
            cover = out.add_stream("png", rate=1)
            cover.height, cover.width, cover.pix_fmt = 16, 16, "rgb24"
            cover.disposition = av.stream.Disposition.attached_pic
            stream = out.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
            out.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros([16, 16, 3], np.uint8), format="rgb24")))
            for _ in range(5):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full([32, 32, 3], 200, np.uint8), format="rgb24")))
            out.mux(stream.encode())
        frames = list(videos.read_video(path, pictures.squash(16)))
        self.assertLen(frames, 5)
        self.assertAllClose(frames[0].astype(int), np.full([16, 16, 3], 200), atol=4)

    def test_frames_go_on_after_damage_with_the_next_key_frame(self):
        """Of 60 frames every tenth is a key frame. What is lost within the third ten takes the rest of these only."""
        path = self.folder / "damaged.mp4"
        shown = [number % 12 for number in range(60)]
        frames = made_files.numbered(shown, height=32, width=32)
        options = {"crf": "10", "g": "10", "bf": "0", "sc_threshold": "0"}
        with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
            stream = out.add_stream("libx264", rate=25, options=options)
            stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
            for frame in frames:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode())
        with av.open(str(path)) as container:
            packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
        whole = path.read_bytes()
        content = bytearray(whole)
        for position, size in packets[24:26]:
            content[position + 4 : position + size] = bytes(size - 4)
        path.write_bytes(content)
        read = list(videos.read_past_damage(path, pictures.squash(16)))
        (place,) = (number for number, frame in enumerate(read) if isinstance(frame, UsageError))
        self.assertRegex(str(read[place]), "damaged.mp4: damaged from frame 2[56] to")
        self.assertEqual(made_files.numbers(np.stack(read[:place])), shown[:place])
        self.assertBetween(place, 23, 25)
        self.assertEqual(made_files.numbers(np.stack(read[place + 1 :])), shown[30:])
        with self.assertRaisesRegex(UsageError, "damaged from frame"):
            list(videos.read_video(path, pictures.squash(16)))

        # A packet that is lost just before a key frame takes its own frame and no other.
        content = bytearray(whole)
        position, size = packets[19]
        content[position + 4 : position + size] = bytes(size - 4)
        path.write_bytes(content)
        read = list(videos.read_past_damage(path, pictures.squash(16)))
        (place,) = (number for number, frame in enumerate(read) if isinstance(frame, UsageError))
        self.assertRegex(str(read[place]), "damaged (before|from) frame 20")
        self.assertEqual(made_files.numbers(np.stack(read[:place])), shown[:19])
        self.assertEqual(made_files.numbers(np.stack(read[place + 1 :])), shown[20:])

    def test_what_is_shown_counts_and_not_what_a_container_holds(self):
        """Sound that is longer than the picture, and a video trimmed without encoding it anew, are whole."""
        frames = made_files.numbered([number % 12 for number in range(50)], height=32, width=32)
        whole = made_files.write_video(self.folder / "whole.mp4", frames)
        trimmed = self.folder / "trimmed.mp4"
        with av.open(str(whole)) as source, av.open(str(trimmed), "w") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    shift = round(1.2 / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                    out.mux(packet)
        shown = made_files.numbers(np.stack(list(videos.read_video(trimmed, pictures.squash(16)))))
        self.assertEqual(shown, [number % 12 for number in range(50 - len(shown), 50)])
        self.assertLess(len(shown), 45)
        for name in ("a.mkv", "a.ts"):
            with av.open(str(self.folder / name), "w") as out:
                stream, sound = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=16000)
                stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
                for frame in frames[:12]:
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                out.mux(stream.encode())
                for number in range(60):
                    silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                    silence.sample_rate, silence.pts, silence.time_base = 16000, 1024 * number, Fraction(1, 16000)
                    out.mux(sound.encode(silence))
                out.mux(sound.encode())
            self.assertLen(list(videos.read_video(self.folder / name, pictures.squash(16))), 12)

    def test_interlaced_frames_become_whole_ones(self):
        """The lines of each frame are of two moments, between which a bar has moved by eight pixels."""
        path, stored = self.folder / "tv.mp4", np.zeros([6, 64, 64, 3], np.uint8)
        for number, field in itertools.product(range(6), (0, 1)):
            place = 4 + 8 * (2 * number + field) % 56
            stored[number, field::2, place : place + 8] = 240
        made_files.write_interlaced(path, stored)
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            frames = np.stack(list(videos.read_video(path, lambda width, height: (width, height)))).astype(int)
        self.assertLen(frames, 6)
        self.assertLen([line for line in logs.output if "tv.mp4: interlaced; " in line], 1)
        combs = np.abs(2 * frames[1:-1, 1:-1] - frames[1:-1, :-2] - frames[1:-1, 2:]).mean()
        self.assertLess(combs, 25)  # about 100 as they are stored

    def test_frames_are_squashed_without_a_crop(self):
        frame = np.zeros([16, 48, 3], np.uint8)
        frame[:, 24:] = 255
        path = made_files.write_video(self.folder / "video.mp4", np.stack([frame] * 2))
        squashed = list(videos.read_video(path, pictures.squash(8)))
        self.assertLen(squashed, 2)
        for image in squashed:
            self.assertEqual((image.shape, image.dtype), ((8, 8, 3), np.uint8))
            self.assertAllClose(image[:, [0, 1, 2, 5, 6, 7], 0].astype(int), [[0, 0, 0, 255, 255, 255]] * 8, atol=12)
