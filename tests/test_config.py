"""The options of a run: the papers' defaults, the checks, and the files in configs/."""

import dataclasses
import re

import tensorflow as tf

from tests.helpers import ROOT
from tfvideogan import config
from tfvideogan.config import MODELS, Config, UsageError

CONFIGS = ROOT / "configs"
INF, NAN = float("inf"), float("nan")


class DefaultsTest(tf.test.TestCase):
    def test_papers_values(self):
        names = (
            "base_width", "frame_size", "num_frames", "init_stddev", "batch_size", "beta1", "beta2", "learning_rate",
            "mask_prior", "first_frame_weight", "adversarial_weight", "ranking_weight",
        )  # fmt: skip
        papers = {
            "vgan": (64, 64, 32, 0.01, 64, 0.5, 0.999, 2e-4, 0.1, None, None, None),
            "vgan_one_stream": (64, 64, 32, 0.01, 64, 0.5, 0.999, 2e-4, None, None, None, None),
            "vgan_conditional": (128, 64, 32, 0.01, 32, 0.5, 0.999, 2e-4, None, 10.0, None, None),
            "mdgan": (32, 128, 32, 0.02, 16, 0.5, 0.9, 2e-4, None, None, 1.0, 1.0),
        }
        self.assertEqual(set(papers), set(MODELS))
        for model, values in papers.items():
            with self.subTest(model):
                flat = Config.create(model=model).flat()
                self.assertEqual(tuple(flat[name] for name in names), values)
                self.assertEqual(flat["refine_steps"] is not None, model == "mdgan")

    def test_options_left_out_or_none_take_the_defaults(self):
        self.assertEqual(Config.create(), Config.create(model="vgan", base_width=None, seed=None))

    def test_given_options_stand(self):
        given = {
            "model": "mdgan",
            "frame_size": 64,
            "refine_steps": 0,
            "seed": 7,
            "xla": "off",
            "sync_batch_norm": True,
        }
        flat = Config.create(**given).flat()
        self.assertEqual({name: flat[name] for name in given}, given)

    def test_the_discriminator_learns_at_the_generators_rate(self):
        self.assertEqual(Config.create(learning_rate=3e-4).train.discriminator_learning_rate, 3e-4)
        self.assertEqual(Config.create(discriminator_learning_rate=1e-4).train.discriminator_learning_rate, 1e-4)

    def test_a_config_does_not_change(self):
        with self.assertRaises(dataclasses.FrozenInstanceError):
            Config.create().train.seed = 1

    def test_every_option_has_one_name_and_help(self):
        names = [field.name for field in config.fields()]
        self.assertLen(set(names), len(names))
        self.assertTrue(all(field.metadata["help"] for field in config.fields()))


class ChecksTest(tf.test.TestCase):
    def refused(self, message: str = "", **options):
        """The error names the flag and what was received."""
        (name, value), *_ = reversed(options.items())
        with (
            self.subTest(**options),
            self.assertRaisesRegex(UsageError, f"--{name}.*{message}Received: {re.escape(repr(value))}"),
        ):
            Config.create(**options)

    def test_unknown_options(self):
        with self.assertRaisesRegex(UsageError, "unknown options: batchsize, stepps"):
            Config.create(stepps=3, seed=1, batchsize=4)

    def test_wrong_types(self):
        for field in config.fields():
            kind = field.type.removesuffix(" | None")
            for value in {
                "int": (1.5, "3", True),
                "float": ("0.1", True, [1.0]),
                "str": (1, b"x"),
                "bool": (1, "true"),
            }[kind]:
                model = next(
                    m
                    for m in MODELS
                    if field.default is not None or field.name in {*config.PAPER[m], "discriminator_learning_rate"}
                )
                self.refused(**{"model": model} if field.name != "model" else {}, **{field.name: value})

    def test_values_that_are_not_offered(self):
        for name in ("model", "strategy", "xla", "precision", "tf32", "lr_schedule", "discriminator_norm"):
            self.refused("one of .*", **{name: "nonsense"})

    def test_out_of_range(self):
        for name, values in {
            "base_width": (0, -4), "batch_size": (0,), "steps": (0, -1), "seed": (-1,), "keep": (0,), "log_every": (0,),
            "init_stddev": (0.0, -0.1, NAN), "mask_prior": (-0.1, NAN), "learning_rate": (-1e-4, 1.5, NAN),
            "discriminator_learning_rate": (-1e-4, NAN), "beta1": (-0.1, 1.0, NAN), "beta2": (1.0, NAN),
            "ema": (1.0, -0.5, NAN), "checkpoint_every": (0,), "sample_every": (0,),
        }.items():  # fmt: skip
            for value in values:
                self.refused(**{name: value})
        for name in ("refine_steps", "ranking_weight", "adversarial_weight"):
            self.refused(model="mdgan", **{name: -1})
        self.refused(model="vgan_conditional", first_frame_weight=-0.1)

    def test_a_warm_up_that_does_not_end(self):
        self.refused("--steps, 4.*", steps=4, warmup_steps=4)
        self.refused("--refine_steps, 4.*", model="mdgan", steps=9, refine_steps=4, warmup_steps=5)
        late = {"model": "mdgan", "steps": 9, "adversarial_from": 8}
        self.refused("--steps minus --adversarial_from, 1.*", **late, warmup_steps=5)
        late = {"model": "mdgan", "refine_steps": 9, "refine_adversarial_from": 7}
        self.refused("--refine_steps minus --refine_adversarial_from, 2.*", **late, warmup_steps=2)
        Config.create(model="mdgan", steps=9, refine_steps=0, warmup_steps=8)
        Config.create(model="mdgan", steps=9, adversarial_from=10**6, warmup_steps=8)  # of the generator alone

    def test_a_warm_up_of_no_average(self):
        self.refused("no meaning without --ema.*", ema_warmup=True)
        self.assertTrue(Config.create(ema=0.5, ema_warmup=True).train.ema_warmup)

    def test_infinite_numbers(self):
        for name in (
            "init_stddev",
            "mask_prior",
            "learning_rate",
            "discriminator_learning_rate",
            "beta1",
            "beta2",
            "ema",
        ):
            self.refused(**{name: INF})

    def test_data_without_a_name(self):
        self.refused(data="")  # as a path it would be the current folder

    def test_sizes_that_halvings_cannot_make(self):
        for model, size in (("vgan", 48), ("vgan", 8), ("vgan", 1024), ("vgan", 0), ("vgan", -64), ("mdgan", 16)):
            self.refused("", model=model, frame_size=size)
        for frames in (0, 1, 3, 31, 256):
            self.refused("", num_frames=frames)
        for model, size in (("vgan", 16), ("vgan", 512), ("mdgan", 32)):
            self.assertEqual(Config.create(model=model, frame_size=size, num_frames=2).model.frame_size, size)

    def test_a_mask_needs_what_it_changes(self):
        with self.assertRaisesRegex(UsageError, "--residual must be set for --drift=fused.*Received: False"):
            Config.create(model="mdgan", drift="fused")
        self.assertTrue(Config.create(model="mdgan", drift="fused", residual=True).model.takes_wind)
        self.assertFalse(Config.create(model="mdgan").model.takes_wind or Config.create().model.takes_wind)
        self.refused("one of off, on, fused.*", model="mdgan", drift="yes")

    def test_flags_without_meaning_for_the_model(self):
        users = {
            "mask_prior": {"vgan"},
            "first_frame_weight": {"vgan_conditional"},
            "adversarial_weight": {"mdgan"},
            "ranking_weight": {"mdgan"},
            "refine_steps": {"mdgan"},
            "residual": {"mdgan"},
            "drift": {"mdgan"},
            "adversarial_from": {"vgan_conditional", "mdgan"},
            "refine_adversarial_from": {"mdgan"},
            "refine_init": {"mdgan"},
        }
        values = {"residual": True, "drift": "on", "refine_init": "stage1"}
        for name, models in users.items():
            value = values.get(name, 1)
            users_in_order = ", ".join(model for model in MODELS if model in models)
            for model in MODELS:
                if model in models:
                    self.assertEqual(Config.create(model=model, **{name: value}).flat()[name], value)
                else:
                    self.refused(f"no meaning for --model={model}.*{users_in_order}.*", model=model, **{name: value})


class ConfigFilesTest(tf.test.TestCase):
    """absl takes only whole lines as comments: a trailing one would become a part of the value."""

    KINDS = {"int": int, "float": float, "str": str, "bool": {"true": True, "false": False}.__getitem__}  # noqa: RUF012

    def test_every_file_is_a_run_that_explains_itself(self):
        types = {field.name: self.KINDS[field.type.removesuffix(" | None")] for field in config.fields()}
        files = sorted(CONFIGS.iterdir())
        self.assertNotEmpty(files)
        for path in files:
            with self.subTest(path.name):
                self.assertEqual(path.suffix, ".flags")
                lines = path.read_text(encoding="utf-8").splitlines()
                options = dict(self.option(line) for line in lines if line and not line.startswith("#"))
                Config.create(**{name: types[name](value) for name, value in options.items()})

                self.assertRegex(lines[0], r"^# .{20,90}\.$")  # by itself what --config=help tells of it
                opening = "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])
                self.assertIn(f" --flagfile=configs/{path.name} ", opening)
                for word in ("Paper:", "Run:", "Costs:", "Expect:"):
                    self.assertIn(word, opening)

    def option(self, line: str) -> tuple[str, str]:
        match = re.fullmatch(r"--([a-z0-9_]+)=([^\s#]+)", line)
        self.assertIsNotNone(match, line)
        return match.groups()
