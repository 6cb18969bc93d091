"""AWS::EC2::LaunchTemplate for CloudFormation, with the launch templates of this EC2 instead of MiniStack's.

The rules of launch templates live in templates.py.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from localcloud.ec2.context import Context
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.records import Template
from localcloud.ec2.templates import add_version, checked_data, new_template, template_tags
from localcloud.ministack import requests, stacks

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Properties = dict[str, Any]


def install(context: Context) -> None:
    """Have CloudFormation create, update and delete launch templates here."""
    resource_type = _LaunchTemplates(context)
    stacks.set_resource_type(
        "AWS::EC2::LaunchTemplate",
        {
            "create": _as_value_error(resource_type.create),
            "update": _as_value_error(resource_type.update),
            "update_with_logical_id": True,
            "delete": resource_type.delete,
        },
    )


class _LaunchTemplates:
    """The resource type. Its methods run on CloudFormation's threads, in the scope of a request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(self, logical_id: str, properties: Properties, stack: str) -> tuple[str, dict[str, str]]:
        context, region = self._context, requests.region()
        name = properties.get("LaunchTemplateName") or stacks.physical_name(stack, logical_id)
        with context.store.lock:
            template = new_template(
                context, region, name, properties.get("LaunchTemplateData"), properties.get("VersionDescription")
            )
            template.tags.update(template_tags(properties.get("TagSpecifications")))
            context.store.save(region)
        return template.id, _attributes(template)

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> tuple[str, dict[str, str]]:
        context, region = self._context, requests.region()
        template = context.store.region(region).templates.get(physical_id)
        if template is None or new.get("LaunchTemplateName") != old.get("LaunchTemplateName"):
            return self.create(logical_id or physical_id, new, stack)
        with context.store.lock:
            template.tags = template_tags(new.get("TagSpecifications"))
            if new.get("LaunchTemplateData") != old.get("LaunchTemplateData"):
                data = checked_data(new.get("LaunchTemplateData"))
                add_version(context, template, data, new.get("VersionDescription"))
            context.store.save(region)
        return physical_id, _attributes(template)

    def delete(self, physical_id: str, properties: Properties) -> None:
        del properties
        region = requests.region()
        with self._context.store.lock:
            self._context.store.region(region).templates.pop(physical_id, None)
            self._context.store.save(region)


def _attributes(template: Template) -> dict[str, str]:
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "DefaultVersionNumber": str(template.default),
        "LatestVersionNumber": str(template.latest),
    }


def _as_value_error(act: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return `act` with each Ec2Error as a ValueError, which CloudFormation reports as the reason of a failed resource."""

    def wrapped(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        try:
            return act(*arguments, **named)
        except Ec2Error as error:
            raise ValueError(f"{error.message} (Service: Ec2, Error Code: {error.code})") from error

    return wrapped
