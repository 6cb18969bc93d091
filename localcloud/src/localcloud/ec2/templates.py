"""Launch templates: creates, changes and describes them.

How a launch uses a template lives in launch_requests.py, CloudFormation's use of them in cloudformation.py.
"""

import base64
import re
from typing import Any

from localcloud.ec2 import codec, visibility
from localcloud.ec2.authorize import Resource, request_tags, resource_tags
from localcloud.ec2.context import Context, Handler, Request, iso, new_id, tag_list
from localcloud.ec2.errors import Ec2Error, dry_run, invalid, missing
from localcloud.ec2.filters import page, select
from localcloud.ec2.launch_requests import USER_DATA_LIMIT, check_tag, tags_of
from localcloud.ec2.records import RegionRecords, Template
from localcloud.ec2.tokens import client_token

_NAME = re.compile(r"^[a-zA-Z0-9().\-/_]{3,128}$")
_DATA_SHAPE = "RequestLaunchTemplateData"


def create(request: Request) -> dict[str, Any]:
    """CreateLaunchTemplate."""
    params = request.params
    name = params.get("LaunchTemplateName") or ""
    tags = template_tags(params.get("TagSpecifications"))
    resource = Resource(request.caller.arn("launch-template", "*"), request_tags(tags))
    request.caller.require("ec2:CreateLaunchTemplate", [resource])
    if tags:
        keys = resource.keys | {"ec2:CreateAction": "CreateLaunchTemplate"}
        request.caller.require("ec2:CreateTags", [Resource(resource.arn, keys)])
    if params.get("DryRun"):
        raise dry_run()
    token = client_token("CreateLaunchTemplate", params)
    answer = token.answer(request)
    if answer is not None and answer["id"] in request.records.templates:
        return {"LaunchTemplate": _summary(request, request.records.templates[answer["id"]])}
    template = new_template(
        request.context, request.region, name, params.get("LaunchTemplateData"), params.get("VersionDescription")
    )
    template.tags.update(tags)
    token.remember(request, {"id": template.id})
    request.save()
    return {"LaunchTemplate": _summary(request, template)}


def create_version(request: Request) -> dict[str, Any]:
    """CreateLaunchTemplateVersion."""
    params = request.params
    template = _authorized(request)
    data = checked_data(params.get("LaunchTemplateData"))
    if params.get("SourceVersion"):
        source = version(template, params["SourceVersion"])
        data = {**template.versions[source]["data"], **data}
    number = add_version(request.context, template, data, params.get("VersionDescription"))
    request.save()
    return {"LaunchTemplateVersion": _version(request, template, number)}


def modify(request: Request) -> dict[str, Any]:
    """ModifyLaunchTemplate: sets the default version."""
    template = _authorized(request)
    template.default = int(version(template, request.params.get("DefaultVersion") or ""))
    request.save()
    return {"LaunchTemplate": _summary(request, template)}


def delete(request: Request) -> dict[str, Any]:
    """DeleteLaunchTemplate."""
    template = _authorized(request)
    del request.records.templates[template.id]
    request.save()
    return {"LaunchTemplate": _summary(request, template)}


def delete_versions(request: Request) -> dict[str, Any]:
    """DeleteLaunchTemplateVersions: deletes all of the named versions but the default."""
    template = _authorized(request)
    deleted, kept = [], []
    for number in request.params.get("Versions") or ():
        if not number.isdigit():
            raise invalid(number, "launchTemplateVersion")
        line = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": int(number)}
        code = _delete_error(template, number)
        if code:
            kept.append(line | {"ResponseError": {"Code": code, "Message": "It is the default, or does not exist."}})
        else:
            del template.versions[number]
            deleted.append(line)
    request.save()
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": deleted,
        "UnsuccessfullyDeletedLaunchTemplateVersions": kept,
    }


def _delete_error(template: Template, number: str) -> str:
    if number not in template.versions:
        return "launchTemplateVersionDoesNotExist"
    if int(number) == template.default:
        return "unexpectedError"
    return ""


def describe(request: Request) -> dict[str, Any]:
    """DescribeLaunchTemplates."""
    params = request.params
    request.caller.require("ec2:DescribeLaunchTemplates")
    found = list(request.records.templates.values())
    for identifier in params.get("LaunchTemplateIds") or ():
        find(request.records, {"LaunchTemplateId": identifier})
    for name in params.get("LaunchTemplateNames") or ():
        find(request.records, {"LaunchTemplateName": name})
    if params.get("LaunchTemplateIds"):
        found = [template for template in found if template.id in params["LaunchTemplateIds"]]
    if params.get("LaunchTemplateNames"):
        found = [template for template in found if template.name in params["LaunchTemplateNames"]]
    found = select(
        found,
        params.get("Filters"),
        {"launch-template-name": lambda template: template.name, "create-time": lambda template: template.created},
        tags=lambda template: template.tags,
    )
    shown_page, next_token = page(found, params, min_results=1)
    return {"LaunchTemplates": [_summary(request, template) for template in shown_page], "NextToken": next_token}


def describe_versions(request: Request) -> dict[str, Any]:
    """DescribeLaunchTemplateVersions of one template."""
    request.caller.require("ec2:DescribeLaunchTemplateVersions")
    template = find(request.records, request.params)
    numbers = sorted(template.versions, key=int)
    if request.params.get("Versions"):
        numbers = [version(template, wanted) for wanted in request.params["Versions"]]
    shown = select(
        [_version(request, template, number) for number in numbers],
        request.params.get("Filters"),
        {
            "is-default-version": lambda shown: shown["DefaultVersion"],
            "image-id": lambda shown: shown["LaunchTemplateData"].get("ImageId"),
            "instance-type": lambda shown: shown["LaunchTemplateData"].get("InstanceType"),
        },
    )
    shown_page, next_token = page(shown, request.params, min_results=1)
    return {"LaunchTemplateVersions": shown_page, "NextToken": next_token}


def find(records: RegionRecords, specification: dict[str, Any]) -> Template:
    """Return the template of a LaunchTemplateId or LaunchTemplateName. Raises Ec2Error as AWS does."""
    identifier, name = specification.get("LaunchTemplateId"), specification.get("LaunchTemplateName")
    if bool(identifier) == bool(name):
        raise Ec2Error("MissingParameter", "Either a launch template ID or a launch template name must be specified.")
    if identifier:
        if identifier not in records.templates:
            raise _not_found(specification)
        return records.templates[identifier]
    for template in records.templates.values():
        if template.name == name:
            return template
    raise _not_found(specification)


def _not_found(specification: dict[str, Any]) -> Ec2Error:
    identifier = specification.get("LaunchTemplateId")
    if identifier:
        text = f"The specified launch template, with template ID {identifier}, does not exist."
        return Ec2Error("InvalidLaunchTemplateId.NotFound", text)
    text = f"The specified launch template, with template name {specification['LaunchTemplateName']}, does not exist."
    return Ec2Error("InvalidLaunchTemplateName.NotFoundException", text)


def for_launch(request: Request, specification: dict[str, Any], wanted: str) -> tuple[Template, str]:
    """Return the template and the number of the version that a launch names. Raises Ec2Error if it does not see them (yet)."""
    template = find(request.records, specification)
    if not visibility.is_visible(request, template.created):
        raise _not_found(specification)
    number = version(template, wanted)
    if not visibility.is_visible(request, template.versions[number]["created"]):
        raise _version_not_found(template, wanted)
    return template, number


def version(template: Template, wanted: str) -> str:
    """Return the number of a version: `$Latest`, `$Default` or a number. Raises Ec2Error."""
    number = {"$Latest": str(template.latest), "$Default": str(template.default)}.get(str(wanted), str(wanted))
    if number not in template.versions:
        raise _version_not_found(template, wanted)
    return number


def _version_not_found(template: Template, wanted: str) -> Ec2Error:
    text = f"Could not find the specified version {wanted} for the launch template with ID {template.id}."
    return Ec2Error("InvalidLaunchTemplateId.VersionNotFound", text)


def checked_data(document: Any) -> dict[str, Any]:
    """Return the data of a launch template, converted to the model's shape. Raises Ec2Error."""
    if not document:
        raise missing("LaunchTemplateData")
    data: dict[str, Any] = codec.coerce(_DATA_SHAPE, document)
    tags_of(data.get("TagSpecifications"))
    if len(base64.b64decode(data.get("UserData") or "")) > USER_DATA_LIMIT:
        raise Ec2Error("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")
    return data


def new_template(context: Context, region: str, name: str, data: Any, description: str | None) -> Template:
    """Add a template with one version to the records and return it. The caller saves them. Raises Ec2Error."""
    if not _NAME.match(name):
        raise invalid(name, "launchTemplateName")
    records = context.store.region(region)
    if any(template.name == name for template in records.templates.values()):
        raise Ec2Error("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
    template = Template(new_id("lt"), name, iso(context.clock.now()), 1, 0, {})
    add_version(context, template, checked_data(data), description)
    records.templates[template.id] = template
    return template


def add_version(context: Context, template: Template, data: dict[str, Any], description: str | None) -> str:
    """Add a version to a template and return its number. The caller saves the records."""
    template.latest += 1
    number = str(template.latest)
    template.versions[number] = {
        "data": data,
        "description": description or "",
        "created": iso(context.clock.now()),
    }
    return number


def template_tags(specifications: list[dict[str, Any]] | None) -> dict[str, str]:
    """Return the tags of the template itself. Raises Ec2Error for tags of another resource type."""
    found: dict[str, str] = {}
    for specification in specifications or ():
        kind = specification.get("ResourceType")
        if kind != "launch-template":
            raise Ec2Error("InvalidParameterValue", f"'{kind}' is not a valid taggable resource type")
        for tag in specification.get("Tags", ()):
            check_tag(str(tag.get("Key", "")), str(tag.get("Value", "")))
            found[str(tag["Key"])] = str(tag.get("Value", ""))
    return found


def _authorized(request: Request) -> Template:
    """Return the template that the request names. Raises Ec2Error unless the caller may change it."""
    template = find(request.records, request.params)
    resource = Resource(request.caller.arn("launch-template", template.id), resource_tags(template.tags))
    request.caller.require(f"ec2:{request.action}", [resource])
    if request.params.get("DryRun"):
        raise dry_run()
    return template


def _summary(request: Request, template: Template) -> dict[str, Any]:
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "CreateTime": template.created,
        "CreatedBy": f"arn:aws:iam::{request.caller.account}:root",
        "DefaultVersionNumber": template.default,
        "LatestVersionNumber": template.latest,
        "Tags": tag_list(template.tags),
    }


def _version(request: Request, template: Template, number: str) -> dict[str, Any]:
    record = template.versions[number]
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": int(number),
        "VersionDescription": record["description"] or None,
        "CreateTime": record["created"],
        "CreatedBy": f"arn:aws:iam::{request.caller.account}:root",
        "DefaultVersion": int(number) == template.default,
        "LaunchTemplateData": record["data"],
    }


HANDLERS: dict[str, Handler] = {
    "CreateLaunchTemplate": create,
    "CreateLaunchTemplateVersion": create_version,
    "ModifyLaunchTemplate": modify,
    "DeleteLaunchTemplate": delete,
    "DeleteLaunchTemplateVersions": delete_versions,
    "DescribeLaunchTemplates": describe,
    "DescribeLaunchTemplateVersions": describe_versions,
}
