"""The one adversarial training step, for both papers, every strategy, with and without XLA.

A paper supplies how to generate and the losses of its two players, each as
{name: scalar}; `AdversarialModel` sums, differentiates, applies and tracks them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfvideogan.models import batch_statistics, checks, figures
from tfvideogan.models.adam import Adam
from tfvideogan.models.generative import GenerativeModel, Inputs, Tensors
from tfvideogan.models.updates import Update, all_finite, training_variable, vote


class AdversarialModel(GenerativeModel):
    """A generator and a discriminator trained against each other.

    A subclass gives `paper_adam` and the methods that raise NotImplementedError here, and
    what `GenerativeModel` asks for. Make, or load, and compile the model inside a strategy's
    scope to train it on several replicas.

    `save` and `keras.saving.load_model` keep the model with its optimizers, counters and
    loss scales, so that a loaded one trains on as the saved one would have. The program that
    loads it must have imported the subclass's module.
    """

    paper_adam: ClassVar[dict[str, float]]

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The names that the two loss methods return; the generator's begin with `g_`."""
        raise NotImplementedError

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The names that the two loss methods note by `figures.note`, as what a training tells beside its losses."""
        return ()

    def content_losses(self, clips: tf.Tensor, generated: Tensors) -> Tensors:
        """Those of the generator's terms that need no discriminator, by name."""
        raise NotImplementedError

    def discriminator_losses(self, clips: tf.Tensor, generated: Tensors, training: bool = True) -> Tensors:
        """The terms that the discriminator minimises, by name."""
        raise NotImplementedError

    def generator_losses(self, clips: tf.Tensor, generated: Tensors, training: bool = True) -> Tensors:
        """The terms that the generator minimises, by name."""
        raise NotImplementedError

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        xla: bool = False,
        gradient_norms: bool = False,
        **options: Any,
    ) -> None:
        """Sets the two optimizers (the paper's Adam by default) and whether XLA compiles the training step.

        With `gradient_norms` each of the generator's terms, `g_content` say, is told with the norm of its gradient
        for a replica's generated clips (`g_content_gradient_norm`), at the cost of a backward pass each.
        Learning rates may be schedules, which do not count updates that are skipped. The model
        scales the losses of float16 networks by itself. Other options, such as `run_eagerly`,
        go to `keras.Model.compile`.
        """
        self.generator_optimizer = generator_optimizer or Adam(**self.paper_adam)
        self.discriminator_optimizer = discriminator_optimizer or Adam(**self.paper_adam)
        with self.distribute_strategy.scope():
            self.generator_update = Update(self.generator, self.generator_optimizer)
            self.discriminator_update = Update(self.discriminator, self.discriminator_optimizer)
            self.step = training_variable(0, "step")
            self.skipped = training_variable(0, "skipped")
            self.skipped_in_a_row = training_variable(0, "skipped_in_a_row")
            self.evaluated = training_variable(0, "evaluated")  # This counts batches since the metrics were reset.
            self._gradient_norms = gradient_norms
            self._trackers = {name: keras.metrics.Mean(name=name) for name in self._tracked_names()}
        self._choose_what_xla_compiles(xla)
        self._compile_options = {"xla": xla, "gradient_norms": gradient_norms, **options}
        super().compile(optimizer=self.generator_optimizer, jit_compile=False, auto_scale_loss=False, **options)

    def _tracked_names(self) -> list[str]:
        norms = [_norm_name(name) for name in self.loss_names if name.startswith("g_") and self._gradient_norms]
        return ["d_loss", "g_loss", *self.loss_names, *self.figure_names, *norms]

    @property
    def optimizers(self) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
        """The generator's and the discriminator's."""
        return self.generator_optimizer, self.discriminator_optimizer

    @property
    def updates(self) -> tuple[Update, Update]:
        """The generator's and the discriminator's."""
        return self.generator_update, self.discriminator_update

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._trackers.values()) if self.compiled else []

    def fit(self, x: Any = None, y: None = None, *args: Any, **options: Any) -> keras.callbacks.History:
        """`keras.Model.fit` on clips [N, T, H, W, 3] in [-1, 1]: an array, a `tf.data.Dataset` of batches, or the like.

        A model that takes wind is given pairs of clips and their wind [N, 2].
        With `validation_data` it reports the losses that `evaluate` gives as `val_d_loss` and so on.

        Raises:
            ValueError: clips of another shape, dtype or range, or something beside them.
        """
        if options.get("validation_data") is not None:
            options["validation_data"] = self._checked(options["validation_data"])
        return super().fit(self._checked(x if y is None else (x, y)), None, *args, **options)

    def evaluate(self, x: Any = None, y: None = None, *args: Any, **options: Any) -> Any:
        """`keras.Model.evaluate`: the mean of each loss over the clips, as `test_step` takes them.

        Arguments and errors are those of `fit`.
        """
        if not options.get("_use_cached_eval_dataset"):  # With this option `fit` asks, which has checked them.
            x = self._checked(x if y is None else (x, y))
        return super().evaluate(x, None, *args, **options)

    def _checked(self, data: Any) -> Any:
        return checks.check_data(data, self.clip_shape, self.takes_wind)

    def train_step(self, data: Any, adversarial: bool = True) -> Tensors:
        """One generator forward, one discriminator update, one generator update on the same fakes.

        A step that is not `adversarial` (ours) neither runs nor trains the discriminator, and updates the generator by
        `content_losses` alone. The losses that it lacks have no part in the means.

        An update that is not finite on some replica is skipped on all, and with the
        discriminator's the generator's is skipped, too. `skipped` counts such steps, and
        `skipped_in_a_row` those since the last step that was taken.
        """
        data, wind = checks.apart(data, self.takes_wind)
        clips = checks.training_clips(data, self.clip_shape)
        inputs = self.generator_inputs(clips, self.step, wind)
        d_losses, g_losses, others, taken = self._whole_step(clips, inputs, adversarial)
        return self._track(d_losses, g_losses, others, weight=tf.cast(taken, tf.float32))

    def _update_players(
        self, clips: tf.Tensor, inputs: Inputs, adversarial: bool
    ) -> tuple[Tensors, Tensors, Tensors, tf.Tensor]:
        """The step itself: each player's losses, further figures, and whether the step was taken."""
        g_statistics = [v.value for v in batch_statistics.of_network(self.generator)]
        d_statistics = [v.value for v in self.discriminator.non_trainable_variables]  # Singular vectors are among them.
        g_before, d_before = ([tf.identity(variable) for variable in s] for s in (g_statistics, d_statistics))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.generator_update.trained)
            generated = self._generate(inputs)
        d_losses, d_figures, taken = {}, {}, tf.constant(True)
        if adversarial:
            d_losses, d_figures, gradients = self._discriminator_gradients(clips, generated)
            taken = self.discriminator_update.apply(gradients, d_losses.values())
        g_losses, g_figures, upstream = self._generator_gradients(clips, generated, adversarial)
        gradients = tape.gradient(generated, self.generator_update.trained, upstream)
        taken &= vote(all_finite(g_statistics))
        taken = self.generator_update.apply(gradients, g_losses.values(), allowed=taken)
        # A forward pass that is not finite spoils statistics. No step reads the discriminator's, so they have no vote.
        _put_back_unless(taken, g_statistics, g_before)
        _put_back_unless(taken & all_finite(d_statistics), d_statistics, d_before)
        self._update_ema(taken)
        self._count(taken)
        return d_losses, g_losses, d_figures | g_figures, taken

    def _discriminator_losses_and_gradients(
        self, clips: tf.Tensor, generated: Tensors
    ) -> tuple[Tensors, Tensors, list[Any]]:
        """The discriminator's losses, what it noted, and its objective's gradients for its variables."""
        with figures.noted() as noted, tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.discriminator_update.trained)
            terms = self.discriminator_losses(clips, generated)
            objective = self.discriminator_update.objective(terms)
        return terms, noted, tape.gradient(objective, self.discriminator_update.trained)

    def _generator_losses_and_gradients(
        self, clips: tf.Tensor, generated: Tensors, adversarial: bool
    ) -> tuple[Tensors, Tensors, Tensors]:
        """The generator's losses, what it noted, and its objective's gradients for what it generated."""
        zero, norms = tf.UnconnectedGradients.ZERO, self._gradient_norms
        with figures.noted() as noted, tf.GradientTape(persistent=norms, watch_accessed_variables=False) as tape:
            tape.watch(generated)
            terms = (self.generator_losses if adversarial else self.content_losses)(clips, generated)
            objective = self.generator_update.objective(terms)
            parts = {name: self.generator_update.objective({name: terms[name]}) for name in terms if norms}
        for name, part in parts.items():
            gradient = tape.gradient(part, generated["clip"], unconnected_gradients=zero)
            noted[_norm_name(name)] = self.generator_update.unscaled_norm(gradient)
        return terms, noted, tape.gradient(objective, generated, unconnected_gradients=zero)

    def _choose_what_xla_compiles(self, xla: bool) -> None:
        """With one replica the whole step; with several the parts between those operations in which replicas meet.

        Losses are compiled together with their gradients: the gradient of a compiled function computes whatever
        it could be asked for, wanted or not.
        """
        alone = self.distribute_strategy.num_replicas_in_sync == 1
        part = _xla_function if xla and not alone else (lambda function: function)
        self._generate = part(
            lambda inputs: self.generate(tf.nest.map_structure(tf.stop_gradient, inputs), self.generator, training=True)
        )
        self._discriminator_gradients = part(self._discriminator_losses_and_gradients)
        self._generator_gradients = part(self._generator_losses_and_gradients)
        self.xla_samples, self._pass_through = xla and alone, None
        self._whole_step = _xla_function(self._update_players) if xla and alone else self._update_players

    def test_step(self, data: Any) -> Tensors:
        """The losses of what a user would sample: by `sampling_generator`, all networks with inference statistics.

        Nothing that training needs changes. Batch k of every evaluation meets the same latents, which no
        training step meets, so that losses can be compared between epochs; a clip weighs the same in any batch.
        """
        data, wind = checks.apart(data, self.takes_wind)
        clips, rows = checks.evaluation_clips(data, self.clip_shape)
        if wind is not None:  # A black clip in place of a missing one has none.
            wind = tf.pad(wind, [[0, tf.shape(clips)[0] - rows], [0, 0]])
        inputs = self.generator_inputs(clips, -1 - self.evaluated, wind)  # Training counts from 0 upwards.
        generated = self.generate(inputs, self.sampling_generator, training=False)
        d_losses = self.discriminator_losses(clips, generated, training=False)
        g_losses = self.generator_losses(clips, generated, training=False)
        self.evaluated.assign_add(1)
        return self._track(d_losses, g_losses, {}, weight=tf.cast(rows, tf.float32))

    def get_metrics_result(self) -> Tensors:
        """The means by name, without those of losses that no step has had since the metrics were reset."""
        return {m.name: m.result() for m in self.metrics if tf.convert_to_tensor(m.count) > 0}

    def reset_metrics(self) -> None:
        super().reset_metrics()
        if self.compiled:
            self.evaluated.assign(0)

    def _count(self, taken: tf.Tensor) -> None:
        skipped = tf.cast(~taken, tf.int64)
        self.step.assign_add(1)
        self.skipped.assign_add(skipped)
        self.skipped_in_a_row.assign((self.skipped_in_a_row + 1) * skipped)

    def _track(self, d_losses: Tensors, g_losses: Tensors, others: Tensors, weight: tf.Tensor) -> Tensors:
        """Means over the steps since the metrics were reset; losses of weight 0 are left out, finite or not."""
        players = {"d_loss": d_losses, "g_loss": g_losses}
        totals = {name: tf.add_n(list(losses.values())) for name, losses in players.items() if losses}
        tracked = totals | d_losses | g_losses | others
        counts = weight > 0.0
        for name, value in tracked.items():  # `update_state` takes ten times the operations, for values of any shape.
            self._trackers[name].total.value.assign_add(tf.where(counts, weight * value, 0.0))
            self._trackers[name].count.value.assign_add(weight)
        return {name: tracker.result() for name, tracker in self._trackers.items() if name in tracked}

    def _update_ema(self, taken: tf.Tensor) -> None:
        if self.ema_generator is None:
            return
        share = 1.0 - self.ema
        if self.ema_warmup:  # 1 - (1 + k) / (10 + k) is 9 / (10 + k).
            share = tf.maximum(share, 9.0 / (10.0 + tf.cast(self.step, tf.float32)))
        share = tf.where(taken, share, 0.0)
        for average, current in zip(self.ema_generator.variables, self.generator.variables, strict=True):
            average.value.assign_sub(share * (average.value - current.value))

    def save_own_variables(self, store: Any) -> None:
        """Puts the counters and loss scales into a Keras file, which takes networks and optimizers by itself."""
        for number, variable in enumerate(self._own_variables()):
            store[str(number)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Takes them from a file of a compiled model; a model that is not compiled has none."""
        for number, variable in enumerate(self._own_variables() if store.keys() else []):
            variable.assign(store[str(number)])

    def _own_variables(self) -> list[tf.Variable]:
        if not self.compiled:
            return []
        scales = [v for update in self.updates for v in (update.scale, update.finite_updates)]
        return [self.step, self.skipped, self.skipped_in_a_row, *scales]

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        optimizers = dict(zip(("generator_optimizer", "discriminator_optimizer"), self.optimizers, strict=True))
        return keras.saving.serialize_keras_object(optimizers | self._compile_options)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))


def _norm_name(term: str) -> str:
    return f"{term}_gradient_norm"


def _put_back_unless(kept: tf.Tensor, variables: Sequence[tf.Variable], before: Sequence[tf.Tensor]) -> None:
    """Gives variables the values that they had before, unless the present ones are kept."""
    for variable, value in zip(variables, before, strict=True):
        variable.assign(tf.where(kept, variable, value))


def _xla_function(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(function, jit_compile=True)
