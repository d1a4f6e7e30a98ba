"""The page of experiments: a table of what was scored, once each, and pictures that the page finds."""

import re
from pathlib import Path

import tensorflow as tf

from tests.helpers.made_files import picture
from tfvideogan.inference import experiment_page
from tfvideogan.inference.experiment_page import Result

PERSISTENCE = {"psnr_db": 22.734, "ssim": 0.637, "motion_ratio": 0.0, "mse": 0.1}
STAGE_1, STAGE_2 = ({**PERSISTENCE, "psnr_db": psnr, "motion_ratio": None} for psnr in (31.0, 30.0))
ROLLOUT = {"frames": 96, "seam_ratio": 1.5, "motion_kept": 0.5}


class ExperimentPageTest(tf.test.TestCase):
    def results(self, folder: Path) -> list[Result]:
        of_stage_1 = {"scores": {"persistence": PERSISTENCE, "stage_1": STAGE_1}, "rollout": ROLLOUT}
        of_both = {"scores": of_stage_1["scores"] | {"stage_2": STAGE_2}, "rollout": ROLLOUT | {"seam_ratio": 2.0}}
        learned = {"method": "fine_tuning", "labels": 250, "seed": 3, "test_accuracy": 0.8125}
        return [
            Result("c-stage1", "stage 1", folder / "c-stage1", of_stage_1, []),
            Result("c-paper", "as <the> paper", folder / "c-paper", of_both, []),
            Result("d-moves", "D", folder / "d-moves", None, [learned]),
        ]

    def test_shared_scores_come_once_and_a_roll_out_stands_with_the_last_stage(self):
        rows = list(experiment_page.table(self.results(Path("x"))))
        self.assertEqual(rows, [
            ["c: stage 1, persistence", "22.73", "0.637", "0.000", "", "", "", "", ""],
            ["c: stage 1, stage 1", "31.00", "0.637", "", "", "", "1.500", "0.500", ""],
            ["c: as &lt;the&gt; paper, stage 2", "30.00", "0.637", "", "", "", "2.000", "0.500", ""],
            ["d: D, fine tuning, 250 labels, seed 3", "", "", "", "", "", "", "", "0.812"],
        ])  # fmt: skip

    def test_the_page_shows_the_last_sample_and_the_curve(self):
        folder = Path(self.create_tempdir().full_path)
        for name in ("c-paper/samples/stage1-step00000900.gif", "c-paper/samples/stage2-step00000004.gif",
                     "d-moves/classification/curve.png"):  # fmt: skip
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(picture(kind=name[-3:].upper()))
        experiment_page.write(folder / "report.html", self.results(folder))
        page = (folder / "report.html").read_text()
        shown = re.findall(r'src="([^"]+)"', page)
        self.assertEqual(shown, ["c-paper/samples/stage2-step00000004.gif", "d-moves/classification/curve.png"])
        self.assertTrue(all((folder / name).is_file() for name in shown))
        self.assertEqual(page.count("<tr>"), 5)


if __name__ == "__main__":
    tf.test.main()
