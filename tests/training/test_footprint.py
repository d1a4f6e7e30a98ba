"""The memory that a step is said to take: graphs counted by hand, and the peak of a process that takes steps."""

import os
import subprocess
import sys

import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.training import footprint

KB = 256  # So many float32 numbers are 1,024 bytes.

# The process prints what steps took at their peak, less what TensorFlow itself takes, and what they were said to.
STEPS = """
import sys
from pathlib import Path
import tensorflow as tf
from tfvideogan.config import Config
from tfvideogan.models import registry
from tfvideogan.training import footprint

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

def model(base_width, frame_size):
    config = Config.create(model=sys.argv[1], base_width=base_width, frame_size=frame_size, num_frames=16)
    model = registry.build_model(config.model, int(sys.argv[2]))
    model.compile()
    return model

def traced(model, rows):
    clips = tf.random.uniform([rows, *model.clip_shape], -1.0, 1.0)
    step = tf.function(model.train_step, autograph=False).get_concrete_function(clips)
    return lambda: step(clips)["g_loss"].numpy()

traced(model(2, 32), 1)()
start = status("VmRSS")
larger = model(16, 64)
built = status("VmRSS") - start
step = traced(larger, 8)
idle = status("VmRSS") - built
step(), step()
print(status("VmHWM") - idle, footprint.of_step(larger, 8) / 2**20)
"""


def peak(function, *kilobytes: int) -> float:
    """In KB, for vectors of so many KB."""
    traced = tf.function(function, autograph=False)
    graph = traced.get_concrete_function(*(tf.TensorSpec([KB * size]) for size in kilobytes))
    return footprint.peak(graph.graph, graph.outputs) / 1024


class PeakTest(tf.test.TestCase):
    def test_what_a_later_operation_takes_is_held(self):
        # Concatenations copy. Of x, 3 KB, y takes 6 and z takes 12; then y is not needed.
        self.assertEqual(peak(lambda x: tf.concat([tf.concat([x, x], 0)] * 2, 0), 3), 18)
        self.assertEqual(peak(lambda x: tf.concat([tf.concat([tf.concat([x, x], 0)] * 2, 0)] * 2, 0), 3), 36)

    def test_elementwise_results_take_their_inputs_place(self):
        self.assertEqual(peak(lambda x: tf.tanh(tf.nn.relu(tf.concat([x, x], 0))), 3), 6)
        both = peak(lambda x: (tf.tanh(y := tf.concat([x, x], 0)), y), 3)
        self.assertEqual(both, 12)

    def test_a_reshaped_tensor_is_the_same_memory_for_as_long_as_either_is_needed(self):
        def function(x):
            y = tf.concat([x, x], 0)
            return tf.concat([tf.reshape(y, [-1, 1])] * 2, 0)

        self.assertEqual(peak(function, 3), 18)

    def test_what_nobody_takes_is_not_counted(self):
        self.assertEqual(peak(lambda x: (tf.concat([x] * 50, 0), tf.concat([x, x], 0))[1], 3), 6)

    def test_what_can_run_at_a_time_counts_together(self):
        # In the program's order one concatenation of 5 KB is made and summed up before the next: by depth, both first.
        def function(x):
            return sum(tf.reduce_sum(tf.concat([x] * 5, 0)) for _ in range(2))

        self.assertBetween(peak(function, 1), 10, 10.1)

    def test_products_may_copy_their_operands(self):
        def function(x):  # The operands are x itself, 1 KB, as 16 x 16 numbers, and the result has 1 KB, too.
            return tf.matmul(*[tf.reshape(x, [16, 16])] * 2)

        self.assertEqual(peak(function, 1), 1 + 3)  # both operands and the result are copied

    def test_an_update_on_a_condition_counts_what_it_holds(self):
        def function(x):
            return tf.cond(x[0] > 0.0, lambda: tf.reduce_sum(tf.concat([x] * 9, 0)), lambda: 0.0)

        self.assertBetween(peak(function, 1), 9, 9.1)


class StepTest(tf.test.TestCase):
    def test_more_clips_take_more_in_proportion(self):
        model = tiny.model("mdgan", 2)
        model.compile()
        one, two, three = (footprint.of_step(model, 32 * rows) for rows in (1, 2, 3))
        self.assertGreater(two, one)
        self.assertAllClose(three - two, two - one, rtol=0.02)

    def test_a_moving_average_is_one_more_copy_of_the_generator(self):
        sizes = []
        for ema in (0.0, 0.5):
            model = tiny.model("vgan", ema=ema)
            model.compile()
            sizes.append(sum(v.value.shape.num_elements() for v in model.generator.variables) * 4)
            sizes.append(footprint.of_step(model, 64))
        self.assertAllClose(sizes[3] - sizes[1], sizes[0], atol=200)

    def test_a_fresh_process_peaks_where_it_is_said_to(self):
        # What is freed goes back to the system at once, as it does with the large tensors of a run.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**18)}
        command = [sys.executable, "-c", STEPS, "mdgan", "2"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        measured, estimate = map(float, done.stdout.split())
        self.assertBetween(estimate / measured, 0.8, 1.25, f"measured {measured:.0f} MiB, said {estimate:.0f}")


if __name__ == "__main__":
    tf.test.main()
