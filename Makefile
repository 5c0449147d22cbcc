# The front door: `make help` lists what there is.

VENV := .venv
BENCH_VENV := benchmarks/.venv
DEV_EXTRAS := mysql postgres kafka aws redis avro
PYTHON_IN := $(VENV)/bin/python
MANAGE := $(PYTHON_IN) manage.py
PORT ?= 8000

# A sample day's first hours, for `make run`. The demo always uses the embedded database and lake.
SAMPLE := var/sample
SAMPLE_START := 2021-07-18T00:00:00Z
SAMPLE_ROWS_ipflow := 100000
SAMPLE_ROWS_antenna := 4000
SAMPLE_ROWS_coverage := 4000
SAMPLE_ROWS_cdr := 10000
SAMPLE_ALSO_antenna := --subscribers $(SAMPLE)/subscribers.csv
SAMPLES_DONE := $(patsubst %,$(SAMPLE)/%.done,ipflow antenna coverage cdr)
EMBEDDED := DATABASE_URL=sqlite:///$(CURDIR)/var/db.sqlite3 LAKE_DIR=$(CURDIR)/var/lake

# Tests and linters read no .env and touch nobody's database. Bytecode is written, as tests start hundreds of processes;
# their thousands of small files go to /dev/shm if 6 GB are free there.
TEST_TMPDIR ?= $(shell [ "$$(df --output=avail -k /dev/shm 2>/dev/null | tail -1)" -ge 6000000 ] 2>/dev/null \
	&& echo /dev/shm || echo $${TMPDIR:-/tmp})
HERMETIC := PYTHON_DOTENV_DISABLED=1 PYTHONDONTWRITEBYTECODE= TMPDIR=$(TEST_TMPDIR) \
	SECRET_KEY=for-tests-alone-0123456789-abcdefghijklmnopqrstuvwxyz
TEST_PROCESSES ?= $(shell getconf _NPROCESSORS_ONLN)
ON_SQLITE := $(HERMETIC) DATABASE_URL=sqlite:///$(CURDIR)/var/test.sqlite3

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-bench setup-spark spark-zip run serve stream-demo test test-servers test-all coverage lint \
	docs reference lock audit bench bench-pages bench-stream bench-scale screenshots clean

help:  ## lists these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 13

# Extras of the package, such as "mysql kafka"; README.md and docs/how-to/package.md list them.
EXTRAS ?=

setup: $(VENV)/requirements.done $(EXTRAS:%=$(VENV)/requirements-%.done) $(VENV)/scanner.done  ## makes .venv with what the product needs, and EXTRAS="mysql postgres kafka aws redis arrow avro"
	@:

setup-dev: setup $(DEV_EXTRAS:%=$(VENV)/requirements-%.done) $(VENV)/requirements-dev.done  ## and with what tests and linters need, all extras but Spark among it
	@:

setup-bench: setup $(BENCH_VENV)/requirements.done  ## makes benchmarks/.venv with what the product is measured against
	@:

setup-spark: setup $(VENV)/requirements-spark.done  ## and with what --engine spark needs (and Java 17, where it may be installed)
	@:

# Exact versions, each with its hashes, from one lock file.
LISTS := requirements.lock requirements.txt
INSTALL := TOOLS=$(VENV) scripts/install.sh

$(VENV)/bin/pip $(BENCH_VENV)/bin/pip:
	@scripts/make_venv.sh $(@D:/bin=)

$(VENV)/requirements.done: $(LISTS) | $(VENV)/bin/pip
	@$(INSTALL) $(VENV) base
	@touch $@

$(VENV)/requirements-mysql.done: $(LISTS) | $(VENV)/requirements.done
	@TOOLS=$(VENV) scripts/install_mysqlclient.sh $(VENV)
	@touch $@

$(VENV)/scanner.done: $(wildcard kpis/engine/scanner*.[ch]) kpis/engine/compiled.py | $(VENV)/requirements.done
	@scripts/build_scanner.sh $(PYTHON_IN)
	@touch $@

# Tests start hundreds of processes, each of which would compile every module where no bytecode may be written.
$(VENV)/requirements-dev.done: requirements.lock requirements-dev.txt | $(VENV)/requirements.done
	@$(INSTALL) $(VENV) dev
	@$(PYTHON_IN) -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	@touch $@

$(VENV)/requirements-spark.done: requirements.lock requirements-spark.txt | $(VENV)/requirements.done
	@scripts/install_java.sh
	@$(INSTALL) $(VENV) spark
	@touch $@

$(VENV)/requirements-%.done: $(LISTS) | $(VENV)/requirements.done
	@$(INSTALL) $(VENV) $*
	@touch $@

$(BENCH_VENV)/requirements.done: requirements.lock benchmarks/requirements.txt | $(BENCH_VENV)/bin/pip $(VENV)/requirements.done
	@$(INSTALL) $(BENCH_VENV) bench
	@touch $@

.env: | $(VENV)/bin/pip
	@test -e $@ || (umask 077 && $(PYTHON_IN) -c 'import secrets; print("SECRET_KEY=" + secrets.token_urlsafe(50))' > $@)

$(SAMPLES_DONE): $(SAMPLE)/%.done: | setup .env
	@$(EMBEDDED) $(MANAGE) make_sample_data $(SAMPLE) --feed $* --start $(SAMPLE_START) \
		--intervals 36 --rows $(SAMPLE_ROWS_$*) --seed 1 --bad 3 $(SAMPLE_ALSO_$*)
	@touch $@

run: setup .env $(SAMPLES_DONE)  ## shows it all on sample data: four feeds' files in, the newest hour's KPIs out
	@$(EMBEDDED) $(MANAGE) migrate -v 0
	@$(EMBEDDED) $(MANAGE) load_subscribers $(SAMPLE)/subscribers.csv
	@$(EMBEDDED) $(MANAGE) update_network_stats --data-dir $(SAMPLE)
	@echo
	@$(EMBEDDED) $(MANAGE) show_network_stats --interval 1h --top 5 --personal
	@echo
	@echo "Now 'make serve' starts the web: http://127.0.0.1:$(PORT)/"

serve: setup .env  ## starts the web on 127.0.0.1:8000, or on another PORT=
	@$(MANAGE) migrate -v 0
	@$(VENV)/bin/uvicorn network_analysis.asgi:application --host 127.0.0.1 --port $(PORT)

spark-zip: setup  ## writes what Spark's executors need of the project into var/spark/kpis.zip
	@PYTHONPATH=plugins $(PYTHON_IN) -m network_analysis_spark.code var/spark/kpis.zip

stream-demo: setup $(VENV)/requirements-kafka.done  ## shows the live page on sample streams, with a broker and all else in it, until Ctrl-C (PORT=)
	@$(PYTHON_IN) -m scripts.stream_demo --port $(PORT)

test: setup-dev  ## runs the quick tests, on SQLite and what else is embedded (ARGS= go to pytest)
	@$(ON_SQLITE) $(VENV)/bin/pytest -n $(TEST_PROCESSES) --dist loadgroup --no-loadscope-reorder \
		tests/unit tests/property $(ARGS)

test-servers: setup-dev  ## runs the others, and what depends on the database on each server of TEST_DATABASE_URLS
	@$(HERMETIC) scripts/test_with_servers.sh $(VENV)/bin/pytest sqlite:///$(CURDIR)/var/test.sqlite3 $(ARGS)

test-all: test test-servers  ## runs all tests
	@:

COVERED ?= tests
COVERED_ON ?= sqlite:///$(CURDIR)/var/test.sqlite3
MEASURED_SPARK := PYSPARK_SUBMIT_ARGS="--conf spark.python.daemon.module=tests.measured_workers pyspark-shell"
coverage: setup-dev  ## shows which lines and branches no test runs (COVERED= is where the tests are, COVERED_ON= a database's URL)
	@$(HERMETIC) DATABASE_URL=$(COVERED_ON) $(MEASURED_SPARK) \
		$(VENV)/bin/pytest -n $(TEST_PROCESSES) --dist loadgroup --no-loadscope-reorder \
		--cov --cov-report=term --cov-report=html:var/coverage $(COVERED) $(ARGS)

lint: setup-dev  ## checks format, style, imports, types, migrations and documentation
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	env PYTHONPATH=plugins $(VENV)/bin/lint-imports
	$(ON_SQLITE) $(VENV)/bin/mypy
	$(ON_SQLITE) $(MANAGE) makemigrations --check --dry-run
	$(ON_SQLITE) $(MANAGE) check
	$(MAKE) docs

docs: setup-dev  ## builds the documentation into var/docs; a broken link, or a page in no table of contents, is an error
	@$(VENV)/bin/sphinx-build --builder html --doctree-dir var/doctrees --fail-on-warning --keep-going --quiet docs var/docs

reference: setup-dev  ## writes the reference pages that are generated from the code: settings, commands, feeds, KPIs
	@$(ON_SQLITE) $(PYTHON_IN) -m scripts.reference_pages docs/reference

# It needs no list that the lock file may lack.
$(VENV)/bin/uv: | $(VENV)/bin/pip
	@$(INSTALL) $(VENV)

lock: $(VENV)/bin/uv  ## writes the lock file again from requirements*.txt (ARGS=--upgrade takes newer versions)
	@scripts/lock.sh $(VENV)/bin/uv $(ARGS)

audit: setup-dev  ## looks for known vulnerabilities of the locked versions
	@scripts/audit.sh $(VENV)/bin/pip-audit requirements.lock

bench: setup-bench  ## measures it beside pandas, Polars, DuckDB and chDB (ARGS="hour tick" picks, ARGS=--help tells)
	@$(BENCH_VENV)/bin/python -m benchmarks $(ARGS)

bench-pages: setup  ## measures every page on 5,000,000 results of 30 days (DATABASE_URL= takes an empty database)
	@$(HERMETIC) $(PYTHON_IN) benchmarks/console.py $(ARGS)

bench-stream: setup-dev  ## measures a consumer of streams on one core (TEST_KAFKA_JARS= or ARGS="--bootstrap-servers H:P")
	@$(HERMETIC) $(PYTHON_IN) benchmarks/stream.py $(ARGS)

bench-scale: setup-bench setup-spark  ## measures an hour of more and more rows, here and on Spark (ARGS="1000000" picks)
	@$(BENCH_VENV)/bin/python benchmarks/scale.py $(ARGS)

screenshots: setup-dev run  ## takes pictures of every page into var/screenshots, and those of the README
	@$(HERMETIC) $(PYTHON_IN) -m scripts.screenshots --readme docs/screenshots var/screenshots $(ARGS)

clean:  ## removes .venv and caches; .env and what is in var/ stay
	rm -rf $(VENV) $(BENCH_VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
