# The few commands of this repository; each is a script in scripts/, so that it can be read and run alone.
.DEFAULT_GOAL := help
.PHONY: help up down status doctor lab-up test test-all check bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

up: ## build and boot the lab, deploy everything on it, show what runs
	@scripts/up

down: ## take the lab away; the caches in .cache and .venv stay
	@scripts/down

status: ## hosts, daemons with resident memory, pods, URLs
	@scripts/status

doctor: ## what is wrong with the lab, and how to put it right
	@.venv/bin/ansible-playbook -i inventories/$${LAB:-local} playbooks/doctor.yml

lab-up: ## only boot the bare hosts; `ansible-playbook site.yml` deploys on them
	@scripts/bootstrap
	@.venv/bin/ansible-playbook -i inventories/local playbooks/lab_up.yml

check: ## lint, types and unit tests, in about three minutes
	@scripts/check

test: ## check, component tests, the main roles on hosts, the whole lab; at most 40 minutes
	@scripts/test

test-all: ## everything, with the scenario of every role; prints a table of times
	@scripts/test-all

bench: ## benchmarks of the runtime, memory of the running lab
	@scripts/bench

clean: down ## down, and remove the caches too
	@rm -rf .cache .venv
