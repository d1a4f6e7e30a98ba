# make demo   trains a small MD-GAN on built-in clips and predicts a clip from a still picture
# make test   runs the test suite, and after it make fuzz, damaged files; make test-io the part of it that wants
#             tensorflow-io; make test-package the wheel in an environment that holds nothing else; make test-serving model
#             servers; make soak the long tests. BUILD.md lists all targets
# make experiments   the small forms of the papers' experiments and a page of them, three hours on 2 cores; it
#             goes on where it stopped. ARGS=--steps=3 tries it out in a quarter of an hour
# Each sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
VENV_IO ?= .venv-io
VENV_SERVING ?= .venv-serving
RUN := $(VENV)/bin/python -m
DEMO ?= runs/demo
EXPERIMENTS ?= runs/experiments
FUZZ_SECONDS ?= 60
unexport FUZZ_SECONDS  # The suite itself gives each reader a fifth of a second.

.PHONY: demo experiments test fuzz test-io test-notebook test-web test-package test-serving soak lint install install-io install-serving clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --progress-bar=off -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(RUN) tfvideogan.train --flagfile=configs/mdgan_demo.flags --run_dir=$(DEMO)
	$(RUN) tfvideogan.preview --data=synthetic:sky:test --num_clips=1 --frame_size=128 --output=$(DEMO)/still.png
	$(RUN) tfvideogan.preview --data=synthetic:sky:test --num_clips=1 --num_frames=16 --output=$(DEMO)/real.mp4
	$(RUN) tfvideogan.predict --run_dir=$(DEMO) --image=$(DEMO)/still.png --output=$(DEMO)/prediction.gif \
		--scale=4 --sheet=$(DEMO)/sheet.png --real=$(DEMO)/real.mp4
	@echo
	@echo "The still picture:      $(DEMO)/still.png"
	@echo "Its moving prediction:  $(DEMO)/prediction.gif"
	@echo "Both stages over time:  $(DEMO)/sheet.png"
	@echo "How the model learned:  $(DEMO)/samples/"

experiments: install
	$(RUN) tfvideogan.experiments --output=$(EXPERIMENTS) $(ARGS)

test: install
	$(RUN) pytest -n 2 --dist=loadscope --no-loadscope-reorder
	$(MAKE) fuzz

# Damaged files at random, for a minute each reader; FUZZ_SECONDS=600 for ten.
fuzz: install
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN) pytest -n 2 --dist=load tests/test_fuzz.py tests/weights/test_hostile_files.py

# The promises of docs/reliability.md in their long form, three quarters of an hour, the load of docs/serving.md, and then
# an hour of damaged files.
soak: install install-serving
	SOAK=1 $(RUN) pytest -s tests/training/test_reliability*.py
	SOAK=1 SERVING=1 VENV_SERVING=$(VENV_SERVING) $(RUN) pytest -s tests/test_model_servers.py -k load
	$(MAKE) fuzz FUZZ_SECONDS=600

# tensorflow-io loads with an older TensorFlow only, hence an environment of its own.
test-io: install-io
	$(VENV_IO)/bin/python -m pytest tests/files/test_remote.py

# Model servers with TensorFlow 2.21, and the oldest TensorFlow that this package takes, in environments of their own.
test-serving: install install-io install-serving
	SERVING=1 VENV_IO=$(VENV_IO) VENV_SERVING=$(VENV_SERVING) $(RUN) pytest -s tests/test_model_servers.py

# The package as a user installs it: built, downloaded with what it depends on, run far from this folder.
test-package: install
	FULL_INSTALL=1 $(RUN) pytest tests/test_package.py

# The page in a real Chromium, with and without a server; where there is no Chromium, or no npm to get the runtime of
# the latter, its tests are skipped with the reason.
test-web: install
	$(VENV)/bin/pip install --disable-pip-version-check -q -c constraints.txt -e '.[web]'
	command -v chromium || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) || true
	command -v npm && npm install --silent --no-save --no-package-lock --prefix . \
		"@litertjs/core@$$($(VENV)/bin/python -c 'from export import to_web; print(to_web.VERSION)')" || true
	SPEED=1 $(RUN) pytest -s tests/web

# examples/quickstart.ipynb, each cell, with fewer steps of training.
test-notebook: install
	$(VENV)/bin/pip install --disable-pip-version-check -q -c constraints.txt -e '.[notebook]'
	$(RUN) pytest tests/test_notebook.py

install-io: $(VENV_IO)/.installed

$(VENV_IO)/.installed: setup.py constraints-io.txt
	$(PYTHON) -m venv $(VENV_IO)
	$(VENV_IO)/bin/pip install --disable-pip-version-check --progress-bar=off -c constraints-io.txt -e '.[io,dev-io]'
	touch $@

install-serving: $(VENV_SERVING)/.installed

# TF Serving's stubs ask for the package `tensorflow`, in whose place is `tensorflow-cpu`.
$(VENV_SERVING)/.installed: constraints-serving.txt
	$(PYTHON) -m venv $(VENV_SERVING)
	$(VENV_SERVING)/bin/pip install --disable-pip-version-check --progress-bar=off -c $< kserve tensorflow-cpu
	$(VENV_SERVING)/bin/pip install --disable-pip-version-check --progress-bar=off -c $< --no-deps tensorflow-serving-api
	touch $@

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

clean:
	rm -rf node_modules $(VENV) $(VENV_IO) $(VENV_SERVING) build dist *.egg-info
