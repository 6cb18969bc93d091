"""Deploy on the model account finds the pools that exist, and refuses types that have none."""

from __future__ import annotations

import pytest

from dayfly.errors import FileError
from dayfly.flows import calls
from model.account import ModelAccount
from model.deploying import deploy, file, plan_of, versions

ONE_ZONE = '[jobs.daily]\ncommand = "true"\nservers = ["c7g.large", "c8g.large"]\nschedule = "0 7 * * *"\n'


def test_pools_are_those_that_zones_offer_in_the_order_of_servers():
    account = ModelAccount()
    account.offers["c7g.large"] = ("euw1-az2", "euw1-az3")
    deploy(account, file(ONE_ZONE))
    pools = [(pool.type, pool.subnet[-1]) for pool in versions(account)["daily"].launch.pools]
    assert pools == [("c7g.large", "2"), ("c8g.large", "1"), ("c8g.large", "2")]


def test_type_that_the_region_does_not_offer_is_refused_with_the_nearest():
    account = ModelAccount()
    del account.offers["c7g.large"]
    with pytest.raises(FileError, match=r"eu-west-1 does not offer the type c7g\.large") as refused:
        deploy(account, file(ONE_ZONE))
    assert "c8g.large" in refused.value.hint
    assert "m7i.large" not in refused.value.hint, "of the job's architecture only"
    assert account.leftovers() == {}


def test_type_that_no_zone_of_the_subnets_offers_is_refused():
    account = ModelAccount()
    account.offers["c7g.large"] = ("euw1-az3",)
    with pytest.raises(FileError, match="is offered in euw1-az3, where no subnet"):
        deploy(account, file(ONE_ZONE))


def test_a_zone_that_begins_to_offer_a_type_is_a_new_version():
    account = ModelAccount()
    account.offers["c7g.large"] = ("euw1-az2",)
    deploy(account, file(ONE_ZONE))
    account.offers["c7g.large"] = ("euw1-az1", "euw1-az2")
    plan = plan_of(account, file(ONE_ZONE))
    assert [(change.name, change.words) for change in plan.changes if change.words] == [("daily", ("pools 3 -> 4",))]
    deploy(account, file(ONE_ZONE))
    assert len(versions(account)["daily"].launch.pools) == 4


def test_of_two_subnets_in_one_zone_the_first_is_used():
    """EC2 refuses a fleet that names a type twice in a zone."""
    account = ModelAccount()
    third = calls.Subnet(id="subnet-00000000000000003", vpc="vpc-default", zone="euw1-az1")
    account.subnets = (*account.subnets, third)
    named = [third.id, *account.default_subnets]
    network = f'[network.eu-west-1]\nsubnets = ["{named[0]}", "{named[1]}", "{named[2]}"]\n'
    deploy(account, file(network + ONE_ZONE))
    pools = [(pool.type, pool.subnet[-1]) for pool in versions(account)["daily"].launch.pools]
    assert pools == [("c7g.large", "3"), ("c7g.large", "2"), ("c8g.large", "3"), ("c8g.large", "2")]
