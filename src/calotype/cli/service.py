"""`calotype service`: what can be done with deployed services, and with any that runs."""

from __future__ import annotations

import click

from calotype.cli.main import LazyGroup
from calotype.cli.terminal import examples

# As in cli/main.py: where a command lives, and its line in `calotype service --help`.
COMMANDS = {
    "list": ("service_show:list_", "List the services of the workspace."),
    "show": ("service_show:show", "Show one: its URIs, state, models and replicas."),
    "run": ("service_run:run", "Send it a request, and print the answer."),
    "get-keys": ("service_access:get_keys", "Show its keys."),
    "regen-key": ("service_access:regen_key", "Exchange one of its keys; the other one goes on."),
    "get-access-token": ("service_access:get_access_token", "Get a token for it."),
    "get-logs": ("service_logs:get_logs", "Show what it logged, also of a failed start."),
    "update": ("service_update:update", "Change it in place; no request fails."),
    "delete": ("service_update:delete", "Remove it with its processes, files and logs."),
    "versions": ("service_versions:versions", "List its versions."),
    "create-version": ("service_versions:create_version", "Add a version under its name."),
    "update-version": ("service_versions:update_version", "Change a version in place."),
    "delete-version": ("service_versions:delete_version", "Remove a version."),
    "traffic": ("service_traffic:traffic", "Share its requests out over its versions."),
    "canary": ("service_traffic:canary", "Roll a version out step by step, while it does well."),
    "rollback": ("service_traffic:rollback", "Undo the last change, or a roll-out."),
    "metrics": ("telemetry:metrics", "Show its requests, failures and times by minute."),
    "drift": ("telemetry:drift", "Show whether its predictions change."),
    "collected": ("telemetry:collected", "Write the inputs and predictions that it collected."),
    "submit": ("batch:submit", "Send a folder of images through a batch service."),
    "jobs": ("batch:jobs", "List batch jobs."),
    "job": ("batch:job", "Show a batch job; wait for it with --wait."),
    "job-logs": ("batch:job_logs", "Show what a batch job and its script said."),
    "cancel-job": ("batch:cancel_job", "End a batch job; what is done stays."),
    "resume-job": ("batch:resume_job", "Go on with a batch job where it stopped."),
    "client": ("service_client:client", "Write a client of it in one of seven languages."),
    "check": ("service_client:check", "Call it as its clients do, and say what they stumble over."),
}


@click.group(
    cls=LazyGroup,
    homes=COMMANDS,
    epilog=examples(
        "calotype service list",
        "calotype service show -n flowers",
        "calotype service run -n flowers --image photo.jpg",
        "calotype service update -n flowers -m flowers:2",
        "calotype service get-logs -n flowers --num-lines 50",
        "calotype service check --uri http://localhost:5001/score",
    ),
)
def service() -> None:
    """Call, change and look after the services of a workspace."""
