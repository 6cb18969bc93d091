# Two commands for users (demo, test), one gate for developers (check). Each sets up what it needs.
.PHONY: setup demo test check lock format

setup:
	@scripts/setup

demo: setup
	@.venv/bin/dayfly demo

test: setup
	@.venv/bin/python -m pytest -q

check: setup
	@scripts/check

lock:
	@scripts/lock

format: setup
	@.venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .
