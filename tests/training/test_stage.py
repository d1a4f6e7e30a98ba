"""A stage: it goes on as if it had not stopped, and goes back where steps are not finite."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.training.case import TrainingTest
from tfvideogan.config import DamagedError, UsageError
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs import loading, run_folder, state
from tfvideogan.training import assembly, loop, runtime
from tfvideogan.training.stage import Stage

# With an average, a schedule and spectral normalisation, all of which have a state of their own.
WHOLE = {
    "steps": 6, "keep": 9, "ema": 0.9, "ema_warmup": True, "learning_rate": 0.01, "lr_schedule": "cosine",
    "warmup_steps": 3, "discriminator_norm": "spectral",
}  # fmt: skip


class StageTest(TrainingTest):
    def test_stage_2_stands_on_stage_1s_frozen_base_net_and_the_same_command_again_does_nothing_more(self):
        for ema in (0.0, 0.5):
            options = {"model": "mdgan", "refine_steps": 2, "refine_init": "stage1", "ema": ema}
            run_dir = self.copy_of_a_run(f"ema{ema}", **options)
            first, _ = loading.load_model(run_dir, stage=1)
            second, _ = loading.load_model(run_dir, stage=2)
            for a, b in zip(first.sampling_generator.get_weights(), second.base_generator.get_weights(), strict=True):
                self.assertAllEqual(a, b)
            before = self.files(run_dir / "checkpoints")
            self.train(run_dir.name, **options)
            self.assertEqual(self.files(run_dir / "checkpoints"), before)

    def files(self, folder: Path) -> dict[Path, tuple[int, bytes]]:
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}

    def test_a_killed_run_ends_as_an_undisturbed_one(self):
        killed = run_folder.RunFolder(self.copy_of_a_run("killed", **WHOLE))
        whole = self.variables(killed.latest())
        for checkpoint in killed.list():
            if checkpoint.step > 4:
                shutil.rmtree(checkpoint.path)
        with self.assertLogs("tfvideogan", "WARNING"):  # of the changed --log_every
            self.train("killed", **WHOLE, log_every=1)
        self.assertEqual(killed.latest().step, 6)
        self.assertEqual(self.variables(killed.latest()), whole)

    def test_a_resumed_run_takes_the_new_steps_schedule_and_the_other_kind_of_rate(self):
        options = {"keep": 9, "log_every": 1, "learning_rate": 0.01, "discriminator_learning_rate": 0.03}
        run_dir = self.train("longer", steps=2, lr_schedule="linear", **options)
        with self.assertLogs("tfvideogan", "WARNING"):
            self.train("longer", steps=3, **options)
            self.train("longer", steps=6, lr_schedule="linear", **options)
        lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
        falls = [1 / 2, 0, 1, 2 / 6, 1 / 6, 0]
        self.assertAllClose([line["g_learning_rate"] for line in lines], [0.01 * fall for fall in falls])
        self.assertAllClose([line["d_learning_rate"] for line in lines], [0.03 * fall for fall in falls])

    def test_a_discriminator_that_joins_later(self):
        options = {"model": "vgan_conditional", "steps": 6, "keep": 9, "checkpoint_every": 1, "log_every": 1}
        options["log_gradient_norms"] = True
        whole = self.train("whole", adversarial_from=3, **options)
        checkpoints = {c.step: self.variables(c) for c in run_folder.RunFolder(whole).list()}
        for player, moved in (("generator", True), ("discriminator", False)):
            then, now = ({k: v for k, v in checkpoints[n].items() if k.startswith(player)} for n in (0, 3))
            kernels = [key for key in then if "kernel" in key and "optimizer" not in key]
            self.assertEqual([then[key] != now[key] for key in kernels], [moved] * len(kernels))
            self.assertEqual(then != now, moved)
        lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
        absent = ("d_loss", "d_real", "d_fake", "g_adversarial", "d_score_real", "g_adversarial_gradient_norm")
        for name in absent:
            self.assertEqual([line[name] is None for line in lines], [True] * 3 + [False] * 3, name)
        for line in lines[:3]:
            self.assertEqual(line["g_loss"], line["g_first_frame"])
        self.assertNotIn(None, [line["g_first_frame_gradient_norm"] for line in lines])

        # Killed before the seam, the run goes on across it; from the seam on it is one without the option.
        for killed_at, adversarial_from in ((2, 3), (3, 0)):
            run = run_folder.RunFolder(shutil.copytree(whole, self.folder / f"killed{killed_at}"))
            for checkpoint in run.list():
                if checkpoint.step > killed_at:
                    shutil.rmtree(checkpoint.path)
            self.train(run.path.name, adversarial_from=adversarial_from, **options)
            self.assertEqual(self.variables(run.latest()), checkpoints[6])

    def test_each_stage_has_a_step_of_its_own_from_which_the_discriminator_takes_part(self):
        options = {"model": "mdgan", "steps": 2, "refine_steps": 3, "log_every": 1}
        run_dir = self.train("stages", adversarial_from=2, refine_adversarial_from=1, **options)
        lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
        self.assertEqual([line["stage"] for line in lines], [1, 1, 2, 2, 2])
        self.assertEqual([line["d_loss"] is None for line in lines], [True, True, True, False, False])
        self.assertEqual([line.get("g_ranking") is None for line in lines], [True, True, True, False, False])

    def test_a_run_resumed_between_its_stages_equals_an_undisturbed_one(self):
        # Some of G2's layers then start fresh, the others and D2's with the weights of stage 1.
        options = {"model": "mdgan", "refine_init": "stage1", "drift": "on", "residual": True, "ema": 0.5}
        whole = self.train("whole", refine_steps=2, **options)
        parts = self.train("parts", refine_steps=0, **options)
        with self.assertLogs("tfvideogan", "WARNING"):  # of the changed --refine_steps
            self.train("parts", refine_steps=2, **options)
        ends = [self.variables(run_folder.RunFolder(run_dir).latest()) for run_dir in (whole, parts)]
        self.assertEqual(*ends)

    def stages(self, d1_updates: int, **options) -> tuple[AdversarialModel, Stage, str]:
        """Stage 1 as a checkpoint holds it, stage 2 before its first step, and what that logged."""
        config = tiny.config("mdgan", refine_steps=2, refine_init="stage1", **options)
        run, setup = run_folder.RunFolder(self.folder), runtime.open_runtime(config.train, 4)
        first = assembly.new_model(config, setup, 1)
        for variable in [*first.sampling_generator.variables, *first.discriminator.variables]:
            variable.assign(variable + 1.0)
        first.discriminator_update.optimizer.iterations.assign(d1_updates)
        run.write_config(config)
        run.save(1, 4, state.for_training(first), keep=1)
        with self.assertLogs("tfvideogan", "INFO") as logs:
            second = Stage(config, run, setup, [], 2, 2)
        return first, second, "\n".join(logs.output) + "\n"

    def test_stage_2_may_start_from_stage_1s_networks(self):
        first, second, log = self.stages(d1_updates=1, ema=0.5, discriminator_norm="spectral")
        self.assertRegex(log, "layers of the refine_generator with .* down_conv1, .*; with fresh ones: none\n")
        for network in (second.model.generator, second.model.ema_generator):
            self.assertAllClose(network.get_weights(), first.ema_generator.get_weights(), rtol=0, atol=0)
        self.assertAllClose(second.model.discriminator.get_weights(), first.discriminator.get_weights(), rtol=0, atol=0)
        self.assertEqual([int(optimizer.iterations) for optimizer in second.model.optimizers], [0, 0])

    def test_what_stage_1_cannot_give_starts_fresh_and_a_residual_starts_with_copying(self):
        first, second, log = self.stages(d1_updates=0, residual=True, drift="on")
        self.assertIn("the discriminator starts fresh, since stage 1 never trained its own", log)
        self.assertRegex(log, "with fresh ones: down_conv1, up_conv4\n")
        fresh = assembly.new_model(second.config, second.runtime, 2)
        self.assertAllClose(second.model.discriminator.get_weights(), fresh.discriminator.get_weights(), rtol=0, atol=0)
        for name, source in (("down_conv1", fresh), ("down_conv2", first), ("up_bn3", first)):
            layers = [model.generator.get_layer(name).get_weights() for model in (second.model, source)]
            self.assertAllClose(*layers, rtol=0, atol=0)
        base = tiny.clips("mdgan", 1)
        self.assertAllClose(second.model.generator(base), base, atol=2.0**-7)  # It is above blocks.RESIDUAL_MARGIN.

    def test_weights_without_a_discriminator_cannot_start_stage_2(self):
        run = run_folder.RunFolder(tiny.run_folder(self.folder, "mdgan"))
        config = tiny.config("mdgan", refine_steps=2, refine_init="stage1")
        with self.assertRaisesRegex(UsageError, "--refine_init=stage1 needs the discriminator of stage 1: .* lacks"):
            Stage(config, run, runtime.open_runtime(config.train, 4), [], 2, 2)

    def test_a_resumed_run_takes_the_new_learning_rate(self):
        run_dir = self.train("slow", steps=2)
        with self.assertLogs("tfvideogan", "WARNING"):
            self.train("slow", steps=3, learning_rate=0.0, discriminator_learning_rate=0.0)
        kernels = [
            [v.numpy() for v in self.restored(run_dir, step).trainable_variables if "kernel" in v.path]
            for step in (2, 3)
        ]
        for a, b in zip(*kernels, strict=True):
            self.assertAllEqual(a, b)

    def restored(self, run_dir: Path, step: int):
        model = tiny.model("vgan_one_stream")
        checkpoint = next(c for c in run_folder.RunFolder(run_dir).list() if c.step == step)
        loading.restore(checkpoint, state.for_sampling(model))
        return model.generator

    def spoil(self, run_dir: Path, steps: int) -> None:
        """Lets a run's discriminator be NaN from its last checkpoint on."""
        run, model = run_folder.RunFolder(run_dir), tiny.model("vgan_one_stream")
        model.compile()
        latest = run.latest()
        loading.restore(latest, state.for_training(model))
        model.discriminator.trainable_variables[0].assign_add(tf.fill([4, 4, 4, 3, 2], float("nan")))
        provenance = dataclasses.replace(latest.provenance, clips=4 * steps)
        run.save(1, steps, state.for_training(model), 9, provenance)

    def test_a_run_that_is_never_finite_ends_after_three_restores(self):
        run_dir = self.train("nan", steps=2)
        self.spoil(run_dir, 3)
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            status = loop.train(tiny.config("vgan_one_stream", steps=99, checkpoint_every=2), run_dir)
        self.assertEqual(status, loop.NOT_FINITE)
        said = "\n".join(logs.output)
        self.assertEqual(said.count("the update is skipped (10 in a row)"), 3)
        self.assertEqual(said.count("back to step 3 with the data in another order"), 2)
        self.assertIn("for the third time, so the run ends", logs.output[-1])
        self.assertEqual(run_folder.RunFolder(run_dir).latest().step, 3)

    def test_a_run_that_a_data_order_spoils_goes_back_once_and_on_to_its_end(self):
        with self.not_finite_at(*range(3, 99)), self.assertLogs("tfvideogan", "WARNING") as logs:
            run_dir = self.train("spoiled", steps=16, keep=99, ema=0.5)
        said = "\n".join(logs.output)
        self.assertEqual(said.count("the update is skipped"), 10)
        self.assertIn("stage 1, step 13: a loss or a gradient is not finite, the update is skipped (10 in a row)", said)
        self.assertEqual(said.count("back to step 2 with the data in another order"), 1)
        saved = {checkpoint.step for checkpoint in run_folder.RunFolder(run_dir).list()}
        self.assertContainsSubset({0, 2, 4, 6, 8, 10, 12, 14, 16}, saved)
        newest = run_folder.RunFolder(run_dir).latest()
        self.assertEqual((newest.step, newest.provenance.restores), (16, 1))
        model = loading.load_model(run_dir)[0]
        for variable in model.sampling_generator.variables:
            self.assertAllEqual(tf.math.is_finite(variable.value), tf.ones(variable.shape, bool))
        lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
        self.assertEqual((lines[-1]["skipped"], lines[-1]["restores"]), (10, 1))  # though their lines are gone
        self.assertEqual([line["step"] for line in lines], sorted({line["step"] for line in lines}))
        self.assertNotIn(None, lines[-1].values())

        before = self.variables(newest)
        shutil.rmtree(newest.path)  # as if killed before it was saved
        with self.not_finite_at(*range(3, 99)):  # of the first order, which the run has left
            self.train("spoiled", steps=16, keep=99, ema=0.5)
        again = run_folder.RunFolder(run_dir).latest()
        self.assertEqual((again.step, again.provenance.restores), (16, 1))
        self.assertEqual(before, self.variables(again))

    def variables(self, checkpoint: run_folder.Checkpoint) -> dict[str, bytes]:
        """All that a checkpoint holds."""
        reader = tf.train.load_checkpoint(str(checkpoint.path / "variables"))
        names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
        self.assertNotEmpty(names)
        return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}

    def test_a_damaged_newest_checkpoint_is_passed_over_and_the_run_ends_with_the_same_bits(self):
        run_dir = self.copy_of_a_run("damaged", **WHOLE)
        newest = run_folder.RunFolder(run_dir).latest()
        whole = self.variables(newest)
        (newest.path / "variables.index").write_bytes(b"")
        with self.assertLogs("tfvideogan") as logs:
            self.train("damaged", **WHOLE)
        told = [line for line in logs.output if "is passed over" in line]
        self.assertLen(told, 1)
        self.assertIn(f"checkpoint {newest.path} is passed over: variables.index does not match", told[0])
        self.assertIn("goes on from step 4 of 6", "\n".join(logs.output))
        self.assertEqual(self.variables(run_folder.RunFolder(run_dir).latest()), whole)

    def test_a_stage_whose_checkpoints_are_all_damaged_is_not_begun_again(self):
        options = {"model": "mdgan", "refine_steps": 2, "refine_init": "stage1", "ema": 0.5}
        run_dir = self.copy_of_a_run("stages", **options)
        for checkpoint in run_folder.RunFolder(run_dir).list():
            if checkpoint.stage == 2:
                (checkpoint.path / "variables.index").write_bytes(b"")
        with self.assertLogs("tfvideogan"), self.assertRaisesRegex(DamagedError, "are damaged"):
            self.train("stages", **options)

    def test_another_replica_count_goes_on_with_a_warning(self):
        run_dir = self.train("replicas", steps=2, strategy="none")
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            self.train("replicas", steps=4, strategy="mirrored")
        told = [line for line in logs.output if "data order" in line]
        self.assertLen(told, 1)
        self.assertIn("the checkpoint is of 1 replica(s) on 1 host(s), now there are 2 on 1", told[0])
        newest = run_folder.RunFolder(run_dir).latest()
        self.assertEqual((newest.step, newest.provenance.replicas), (4, 2))

    def test_two_replicas_train_both_stages_as_one_does(self):
        options = {"model": "mdgan", "refine_steps": 2, "refine_init": "stage1", "ema": 0.5}
        one = self.copy_of_a_run("one", **options)
        two = self.train("two", strategy="mirrored", sync_batch_norm=True, **options)
        models = [loading.load_model(run_dir)[0] for run_dir in (one, two)]
        self.assertEqual(models[0].stage, 2)
        for ours, theirs in zip(*[m.variables for m in models], strict=True):
            if not ours.path.startswith(("conv", "bn", "logits")):  # the discriminator is not loaded
                self.assertAllClose(ours, theirs, atol=1e-5, msg=ours.path)

    def test_another_batch_size_goes_on_from_the_next_clip(self):
        run_dir = self.train("size", steps=2, batch_size=4)
        config = tiny.config("vgan_one_stream", steps=4, batch_size=2)
        sources, on_one_device = assembly.open_data(config), runtime.Runtime(tf.distribute.get_strategy(), xla=False)
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            batches = Stage(config, run_folder.RunFolder(run_dir), on_one_device, sources, 1, 4).batches()
        self.assertEqual(
            [line.partition("batch_size")[2] for line in logs.output], [" was 4, now 2: going on from clip 8, step 2"]
        )
        one_by_one = assembly.batches(tiny.config("vgan_one_stream", batch_size=1), sources, config.train.seed)
        expected = np.concatenate([clip.numpy() for clip in one_by_one.skip(8).take(4)])
        self.assertAllEqual(np.concatenate([next(batches).numpy() for _ in range(2)]), expected)

        with self.assertLogs("tfvideogan", "WARNING"):
            self.train("size", steps=4, batch_size=2)
        provenance = run_folder.RunFolder(run_dir).latest().provenance
        self.assertEqual((provenance.clips, provenance.batch_size), (2 * 4 + 2 * 2, 2))


if __name__ == "__main__":
    tf.test.main()
