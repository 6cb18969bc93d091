"""Every name of MiniStack that this package reads or replaces, and the version that has them.

`check_names` refuses a MiniStack that lost one of them, before the cloud answers anything. docs/seams.md gives the reason
for each; a test holds the two lists and the code together.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version

from localcloud.errors import CloudError

PACKAGE = "ministack"
VERSION = "1.5.33"

REQUIRED: dict[str, tuple[str, ...]] = {
    "ministack.app": (
        "PERSIST_STATE",
        "SERVICE_HANDLERS",
        "SERVICE_REGISTRY",
        "_build_persistence_save_dict",
        "_get_module",
        "_state_map",
        "app",
        "pin_request_origin",
    ),
    "ministack.core.persistence": ("_json_default", "_json_object_hook", "_state_format_version"),
    "ministack.core.responses": ("get_account_id", "get_region", "request_scope"),
    "ministack.core.router": ("extract_access_key_id",),
    "ministack.core.iam_evaluator": (
        "AuthError",
        "EvalResult",
        "_anonymous",
        "_is_root_key",
        "_principal_org_id",
        "_request_origin",
        "_resource_policy",
        "_served_unsigned",
        "check_credentials",
        "enforce",
        "evaluate",
        "evaluate_resource_policy",
        "evaluate_trust_policy",
        "is_root_access_key",
        "parse_policy_document",
        "pin_request_origin",
        "resolve_principal",
    ),
    "ministack.core.iam_actions": (
        "SERVICE_TO_IAM_NAMESPACE",
        "anonymous_denial_message",
        "extract_resource_arn",
        "s3_additional_checks",
        "s3_service_context",
    ),
    "ministack.services.cloudwatch": ("_alarms",),
    "ministack.services.cloudwatch_logs": ("_append_log_events", "_log_groups", "_make_group_arn"),
    "ministack.services.ec2": (
        "_DEFAULT_IGW_ID",
        "_DEFAULT_VPC_ID",
        "_az_id_for_zone_name",
        "_ensure_defaults_initialized",
        "_route_tables",
        "_security_groups",
        "_subnets",
        "_tags",
        "_vpc_endpoints",
        "_vpcs",
    ),
    "ministack.services.eventbridge": (
        "_cron_next_fire",
        "_dispatch_to_lambda",
        "_invoke_target",
        "_now_ts",
        "_parse_cron_fields",
        "_parse_rate_seconds",
        "_pattern_event_view",
        "_put_events",
        "_rule_key",
        "_rule_last_fired",
        "_rules",
        "_tick_scheduled_rules",
        "start_scheduler",
    ),
    "ministack.services.iam": (
        "_create_instance_profile",
        "_error",
        "_instance_profiles",
        "_lookup_instance_profile",
        "_policies",
        "_roles",
        "_users",
        "policy_known",
    ),
    "ministack.services.kms": ("_resolve_key",),
    "ministack.services.lambda_svc": (
        "_LAMBDA_STATE_TRANSITION_DELAY",
        "_emit_lambda_logs",
        "_execute_function",
        "_execute_function_warm",
        "_execution_record_for_config",
        "_functions",
        "_get_base_func_record_for_ref",
        "_get_func_record_for_ref",
        "_prune_orphan_code_blobs",
        "_resolve_layer_zip",
        "invoke_async_with_retry",
    ),
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
        "access_point_policy_for_arn",
    ),
    "ministack.services.scheduler": ("start_scheduler",),
    "ministack.services.secretsmanager": ("_resolve",),
    "ministack.services.sns": (
        "_fanout",
        "_matches_filter_policy",
        "_resolve_message_for_protocol",
        "_topic_by_arn_any_scope",
        "_topics",
    ),
    "ministack.services.sqs": ("_queue_name_to_url",),
    "ministack.services.ssm": (
        "_get_parameters_by_path",
        "_lookup_parameter",
        "_parameters",
        "_public_parameter",
        "_split_selector",
        "json_response",
    ),
    "ministack.services.sts": ("_sessions", "is_root_access_key", "register_session"),
    "ministack.services.tagging": ("_COLLECTORS", "_REMOVERS", "_ResourceNotFound", "_WRITERS", "resource_tags"),
}
# Checked when the first stack is asked for: these modules take half a second to import.
LATE: dict[str, tuple[str, ...]] = {
    "ministack.services.cloudformation": ("_stacks",),
    "ministack.services.cloudformation.handlers": ("_resolve_stack", "_roll_back_operation"),
    "ministack.services.cloudformation.helpers": ("_error",),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS", "_physical_name"),
    "ministack.services.cloudformation.stacks": (
        "_delete_resource",
        "_provision_resource",
        "_roll_back_operation",
        "_update_resource",
    ),
}


def check_version() -> None:
    """Raise CloudError unless the pinned version is installed."""
    try:
        found = version(PACKAGE)
    except PackageNotFoundError as error:
        raise CloudError("MiniStack is not installed.", f"Install {PACKAGE}=={VERSION}.") from error
    if found != VERSION:
        raise CloudError(
            f"MiniStack {found} is installed.",
            f"Install {PACKAGE}=={VERSION}: localcloud uses private names of that version.",
        )


def check_names(names: dict[str, tuple[str, ...]]) -> None:
    """Import the modules; raise CloudError when one lacks a name."""
    missing = [
        f"{module}.{name}"
        for module, wanted in names.items()
        for name in wanted
        if not hasattr(importlib.import_module(module), name)
    ]
    if missing:
        raise CloudError(f"MiniStack {VERSION} has no {', '.join(missing)}.", "Reinstall the pinned version.")
