"""The one door to MiniStack: it is imported here, and every private name of it that we touch is named here.

MiniStack reads its settings from the environment when it is imported, so `load` sets them first. `REQUIRED` is checked
at that moment: a MiniStack that lost one of the names is refused, in words, before the cloud answers anything (those of
CloudFormation, when the first stack is asked for).
docs/localcloud-seams.md lists the same names with the reason for each.
"""

import contextvars
import importlib
import logging
import os
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TypeVar

from localcloud.cloud.facts import Cloud
from localcloud.errors import CloudError

T = TypeVar("T")

PACKAGE = "ministack"
VERSION = "1.5.33"
_LATE = "ministack.services.cloudformation"

REQUIRED: dict[str, tuple[str, ...]] = {
    "ministack.app": (
        "app",
        "SERVICE_HANDLERS",
        "_get_module",
        "pin_request_origin",
        "_build_persistence_save_dict",
        "_state_map",
        "SERVICE_REGISTRY",
        "AUTH",
    ),
    "ministack.core.persistence": ("PERSIST_STATE", "_json_default", "_json_object_hook", "_state_format_version"),
    "ministack.core.responses": (
        "_request_account_id",
        "_request_region",
        "get_account_id",
        "get_region",
        "request_scope",
    ),
    "ministack.core.iam_evaluator": (
        "AuthError",
        "EvalContext",
        "_action_matches",
        "_anonymous",
        "_conditions_met",
        "_first_match",
        "_fnmatch_compile",
        "_is_root_key",
        "_resolve_condition_key",
        "_resource_matches",
        "_resource_policy",
        "check_credentials",
        "enforce",
        "evaluate",
        "evaluate_resource_policy",
        "is_root_access_key",
        "parse_policy_document",
        "pin_request_origin",
    ),
    "ministack.core.iam_actions": ("extract_resource_arn", "s3_additional_checks", "s3_service_context"),
    "ministack.core.router": ("extract_access_key_id",),
    "ministack.services.ec2": (
        "_az_id_for_zone_name",
        "_ensure_defaults_initialized",
        "_security_groups",
        "_subnets",
        "_tags",
        "_vpcs",
    ),
    "ministack.services.eventbridge": (
        "_cron_next_fire",
        "_dispatch_to_lambda",
        "_invoke_target",
        "_now_ts",
        "_parse_cron_fields",
        "_parse_rate_seconds",
        "_put_events",
        "_rule_last_fired",
        "_rules",
        "_tick_scheduled_rules",
        "start_scheduler",
    ),
    "ministack.services.iam": ("_create_instance_profile", "_instance_profiles", "_lookup_instance_profile", "_roles"),
    "ministack.services.s3": (
        "_atomic_write",
        "_buckets",
        "_check_put_preconditions",
        "_copy_object",
        "_delete_bucket",
        "_error",
        "_multipart_uploads",
        "_object_disk_path",
        "_persist_object",
        "_put_object",
        "_read_body",
    ),
    "ministack.services.ssm": ("_get_parameters_by_path", "_parameters", "_public_parameter"),
    "ministack.services.sts": ("_sessions", "is_root_access_key", "register_session"),
    "ministack.services.lambda_svc": (
        "_LAMBDA_STATE_TRANSITION_DELAY",
        "_emit_lambda_logs",
        "_execute_function",
        "_execute_function_warm",
        "_execution_record_for_config",
        "_get_base_func_record_for_ref",
        "_get_func_record_for_ref",
        "_prune_orphan_code_blobs",
        "_functions",
        "_resolve_layer_zip",
        "invoke_async_with_retry",
    ),
    "ministack.services.cloudwatch_logs": ("_log_groups", "_make_group_arn", "_append_log_events"),
    "ministack.services.cloudformation": ("_stacks",),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS", "_physical_name"),
    "ministack.services.scheduler": (
        "start_scheduler",
        "_schedules",
        "_schedule_groups",
        "_tags",
        "_ensure_default_group",
        "_schedule_arn",
        "_create_schedule_group",
        "_delete_schedule_group",
    ),
}

_FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
_FOREIGN_PREFIXES = ("MINISTACK_", "LAMBDA_", "LOCALSTACK_", "S3_", "AWS_ENDPOINT_URL", "IOT_", "SFTP_", "DOCKER_")

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def load(cloud: Cloud) -> ModuleType:
    """Import MiniStack with this cloud's settings and return `ministack.app`.

    Raises CloudError when the installed version is not the pinned one or a private name is gone.
    """
    _settings(cloud)
    # It complains at each start that it cannot sign with KMS keys, which nobody here asks for.
    logging.getLogger("kms").setLevel(logging.ERROR)
    try:
        found = version(PACKAGE)
    except PackageNotFoundError as error:
        raise CloudError("MiniStack is not installed.", f"Install {PACKAGE}=={VERSION}.") from error
    if found != VERSION:
        raise CloudError(
            f"MiniStack {found} is installed.", f"Install ministack=={VERSION}: its private names are used."
        )
    _check(name for name in REQUIRED if not name.startswith(_LATE))
    logging.getLogger().setLevel(logging.WARNING)
    # Its own tickers read every time as UTC, and never by our clock; ours take their place.
    for ticking in ("scheduler", "eventbridge"):
        put(importlib.import_module(f"ministack.services.{ticking}"), "start_scheduler", lambda: None)
    return importlib.import_module("ministack.app")


def provisioners() -> ModuleType:
    """The types of CloudFormation's resources. Half a second to import, so only a cloud that has stacks does.

    Raises CloudError when a private name of it is gone.
    """
    _check(name for name in REQUIRED if name.startswith(_LATE))
    return importlib.import_module(f"{_LATE}.provisioners")


def _check(modules: Iterable[str]) -> None:
    missing = [
        f"{module}.{name}"
        for module in modules
        for name in REQUIRED[module]
        if not hasattr(importlib.import_module(module), name)
    ]
    if missing:
        raise CloudError(f"MiniStack {VERSION} has no {', '.join(missing)}.", "Install the pinned version anew.")


def module(name: str) -> ModuleType:
    """A service module of MiniStack, such as "s3", loaded as its own dispatcher would load it."""
    app = importlib.import_module("ministack.app")
    loaded: ModuleType = app._get_module(name)
    return loaded


def put(owner: ModuleType, name: str, ours: object) -> None:
    """Replace a private name of a MiniStack module that `REQUIRED` has checked."""
    setattr(owner, name, ours)


def evaluator() -> ModuleType:
    """MiniStack's IAM evaluator."""
    return importlib.import_module("ministack.core.iam_evaluator")


def within(account: str, region: str, call: Callable[[], T]) -> T:
    """Run `call` as MiniStack runs a request of that account and region."""
    responses = importlib.import_module("ministack.core.responses")

    def scoped() -> T:
        responses._request_account_id.set(account)
        responses._request_region.set(region)
        return call()

    return contextvars.copy_context().run(scoped)


def _settings(cloud: Cloud) -> None:
    for name in list(os.environ):
        if name in _FOREIGN or name.startswith(_FOREIGN_PREFIXES) or name.lower() in _PROXIES:
            del os.environ[name]
    os.environ.update(
        {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(cloud.port),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": cloud.account,
            "MINISTACK_REGION": cloud.region,
            "AWS_ACCESS_KEY_ID": cloud.access_key,
            "AWS_SECRET_ACCESS_KEY": cloud.secret_key,
            "AWS_DEFAULT_REGION": cloud.region,
            "AWS_REGION": cloud.region,
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # Listeners beside the one port.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(cloud.state / "services"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(cloud.state / "s3"),
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "LOG_LEVEL": "WARNING",
        }
    )
