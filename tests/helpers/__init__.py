"""What several test files need: the smallest models, made files, and where real clips lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL_CLIPS = ROOT.parent / "shared" / "data"  # beside the project, and not on every machine
